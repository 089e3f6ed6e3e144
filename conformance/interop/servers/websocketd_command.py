"""What websocketd runs for each connection: each line is a message, either way."""

import sys

for line in sys.stdin:
    message = line.rstrip("\n")
    if message.startswith("#interop burst "):
        for number in range(int(message.split()[2])):
            print(number)
    elif message.startswith("#interop pour "):
        print("pouring")
        print("x" * int(message.split()[2]))
    else:
        print(message)
