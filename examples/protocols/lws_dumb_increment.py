"""libwebsockets' test page on webapi.WebSocket: a counter that the server pushes.

    python examples/protocols/lws_dumb_increment.py ws://127.0.0.1:7681/

Ported from the page that libwebsockets' test server serves, whose script opens
`new WebSocket(url, "dumb-increment-protocol")`, shows what comes, and sends "reset\\n".
"""

import sys

import webapi


def main(url):
    ws = webapi.WebSocket(url, "dumb-increment-protocol")
    ws.onopen = lambda _event: print("opened", ws.protocol)
    was_reset = False

    def onmessage(event):
        nonlocal was_reset
        print(event.data)
        if was_reset and event.data == "0":
            ws.close(1000)
            ws.onmessage = None
        elif event.data == "2":
            print("reset")
            was_reset = True
            ws.send("reset\n")

    ws.onmessage = onmessage
    ws.onclose = lambda event: print("closed", event.code, event.wasClean)


webapi.run(lambda: main(sys.argv[1]))
