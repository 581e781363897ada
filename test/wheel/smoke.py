"""Run by `tox run -e wheel` in an environment that holds the wheel and its own requirements, nothing else."""

import importlib
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


def requirements(distribution: str) -> set[str]:
    """Names of what a distribution needs, its extras aside."""
    lines = importlib.metadata.requires(distribution) or []
    return {re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line}


def check_emulator_names_its_extra() -> None:
    try:
        importlib.import_module("ubiops.emulator")
    except ImportError as error:
        message = str(error)
    else:
        message = "nothing: it imports without its extra"
    assert re.search(r"pip install .*starlette", message), message


def check_helpers_name_their_extras() -> None:
    for name in ubiops.utils.__all__:
        getattr(ubiops.utils, name)
    try:
        ubiops.utils.to_dataframe([])
    except ubiops.utils.MissingExtra as error:
        message = str(error)
    else:
        message = "nothing: there is a data frame without pandas"
    assert re.search(r"pip install .*pandas", message), message


def main() -> None:
    required = requirements("ubiops")
    assert required == {"urllib3", "python-dateutil", "certifi", "six"}, required
    installed = {distribution.metadata["Name"] for distribution in importlib.metadata.distributions()}
    brought_along = {name for requirement in required for name in requirements(requirement)}
    surplus = installed - required - brought_along - {"ubiops", "pip", "setuptools", "wheel"}
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
    check_emulator_names_its_extra()
    check_helpers_name_their_extras()
    print(f"ubiops {ubiops.__version__}: the wheel imports and makes a call with {', '.join(sorted(required))} alone")


if __name__ == "__main__":
    main()
