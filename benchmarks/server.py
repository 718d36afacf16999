"""An OpenAI-compatible server that gives the same answer to every request; runs as a separate process."""

import asyncio
import contextlib
import sys

import msgspec


async def serve(text: str) -> None:
    """Serves on a free port, which it prints first."""
    reply = _reply(text)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                # Decoded but not used: a real server would at least parse the request.
                msgspec.json.decode(await reader.readexactly(int(length)))
                writer.write(reply)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _reply(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 2000, "completion_tokens": 70, "total_tokens": 2070}
    completion = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    body = msgspec.json.encode(completion | {"choices": [choice], "usage": usage})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
