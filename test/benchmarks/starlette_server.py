"""The reference of the emulator: bare Starlette routes on uvicorn, in a process of their own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """A running server's URL and process id; it keeps the file in a folder."""
    command = [sys.executable, "-m", "test.benchmarks.starlette_server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.kill()


def main() -> None:
    """Serve on a free port, which is printed first, until killed."""
    file = Path(sys.argv[1], "reference.bin")

    async def status(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def upload(request: Request) -> Response:
        with file.open("wb") as target:
            async for chunk in request.stream():
                target.write(chunk)
        return Response(status_code=201)

    async def download(_request: Request) -> Response:
        return FileResponse(file)

    app = Starlette(
        routes=[
            Route("/v2.1/status", status),
            Route("/file", upload, methods=["PUT"]),
            Route("/file", download, methods=["GET"]),
        ]
    )
    # The protocol is named as an emulator does it, so that both send at once (TCP_NODELAY).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, loop="asyncio", http="h11", log_level="warning", access_log=False, timeout_keep_alive=75
    )
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
