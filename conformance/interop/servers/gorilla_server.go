// An echo server on Gorilla WebSocket.
package main

import (
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{
	Subprotocols:      []string{os.Getenv("INTEROP_SUBPROTOCOL")},
	EnableCompression: true,
	WriteBufferSize:   5,
	CheckOrigin:       func(*http.Request) bool { return true },
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func obey(conn *websocket.Conn, send func(int, []byte), words []string) {
	switch words[0] {
	case "burst":
		for n := 0; n < number(words[1]); n++ {
			send(websocket.TextMessage, []byte(strconv.Itoa(n)))
		}
	case "fragments":
		// A message that is longer than the write buffer (5 bytes here) goes out in several frames.
		writer, _ := conn.NextWriter(websocket.TextMessage)
		writer.Write([]byte("fragmentéd"))
		writer.Close()
	case "ping":
		conn.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(time.Second))
	case "close":
		code := number(words[1])
		text := websocket.FormatCloseMessage(code, words[2])
		conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
	case "pour":
		send(websocket.TextMessage, []byte("pouring"))
		send(websocket.BinaryMessage, make([]byte, number(words[1])))
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	var lock sync.Mutex
	send := func(kind int, data []byte) {
		lock.Lock()
		defer lock.Unlock()
		conn.WriteMessage(kind, data)
	}
	conn.SetReadLimit(int64(number(os.Getenv("INTEROP_LIMIT"))))
	ping := time.Duration(number(os.Getenv("INTEROP_PING"))) * time.Second
	conn.SetReadDeadline(time.Now().Add(2 * ping))
	conn.SetPongHandler(func(data string) error {
		conn.SetReadDeadline(time.Now().Add(2 * ping))
		if data == "there?" {
			send(websocket.TextMessage, []byte("pong"))
		}
		return nil
	})
	ended := make(chan bool)
	defer close(ended)
	go func() {
		for {
			select {
			case <-time.After(ping):
				conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(ping))
			case <-ended:
				return
			}
		}
	}()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if text := string(data); kind == websocket.TextMessage && strings.HasPrefix(text, "#interop ") {
			obey(conn, send, strings.Split(text, " ")[1:])
		} else {
			send(kind, data)
		}
	}
}

func main() {
	http.HandleFunc("/", serve)
	host := os.Getenv("INTEROP_HOST") + ":"
	go func() {
		log.Fatal(http.ListenAndServeTLS(host+os.Getenv("INTEROP_TLS_PORT"),
			os.Getenv("INTEROP_CERTIFICATE"), os.Getenv("INTEROP_KEY"), nil))
	}()
	log.Fatal(http.ListenAndServe(host+os.Getenv("INTEROP_PORT"), nil))
}
