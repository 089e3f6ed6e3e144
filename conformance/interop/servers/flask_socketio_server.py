"""A Flask-SocketIO server: what socketio_server.js does."""

import sys

import told
from flask import Flask
from flask_socketio import SocketIO, emit

app = Flask(__name__)
io = SocketIO(app, async_mode="threading", ping_interval=0.3, ping_timeout=10)


@io.on("connect")
def connect(auth):
    emit("greeting", f"hello {auth['name']}")


@io.on("add")
def add(a, b):
    return a + b


@io.on("reverse")
def reverse(data):
    emit("reversed", data[::-1])


@io.on("subscribe")
def subscribe():
    for number in range(3):
        emit("news", number)


tls = len(sys.argv) > 1
io.run(
    app,
    host=told.HOST,
    port=told.TLS_PORT if tls else told.PORT,
    ssl_context=(told.CERTIFICATE, told.KEY) if tls else None,
    allow_unsafe_werkzeug=True,
)
