"""Run by `tox run -e wheel` in an environment that holds the wheel and its own requirements, nothing else."""

import importlib.metadata
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import ubiops


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "ok"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    required = {re.split("[<>=]", line)[0] for line in importlib.metadata.requires("ubiops") or [] if ";" not in line}
    assert required == {"urllib3", "python-dateutil", "certifi", "six"}, required
    installed = {distribution.metadata["Name"] for distribution in importlib.metadata.distributions()}
    surplus = installed - required - {"ubiops", "pip", "setuptools", "wheel"}
    assert not surplus, f"not a bare environment: {surplus}"

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = ubiops.Configuration(host=f"http://127.0.0.1:{server.server_port}/v2.1")
    configuration.api_key["Authorization"] = "Token test"
    with ubiops.ApiClient(configuration) as client:
        status = ubiops.CoreApi(client).service_status()
    assert status == ubiops.Status(status="ok"), status
    server.shutdown()
    server.server_close()

    for name in ubiops.__all__:
        getattr(ubiops, name)
    try:
        import ubiops.emulator  # noqa: F401
    except ImportError as error:
        assert "ubiops[emulator]" in str(error), error
    else:
        raise AssertionError("the emulator imports without its extra")
    print(f"ubiops {ubiops.__version__}: the wheel imports and makes a call with {', '.join(sorted(required))} alone")


if __name__ == "__main__":
    main()
