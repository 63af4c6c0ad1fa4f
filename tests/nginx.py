"""nginx in front of a service on this machine, as one process in the foreground with files of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import suppress

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
"""The program; None where it is not installed."""

_CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    limit_req_zone $binary_remote_addr zone=submits:64k rate=4r/s;
    upstream service {{ {upstream} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://service;
            {settings}
        }}
        location = /busy.json {{
            internal;
            default_type application/json;
            return 200 '{{"error": {{"message": "the service is busy", "type": "proxy_error", "code": ""}}}}';
        }}
    }}
}}
"""


class Nginx:
    """Passes requests on inside `async with`.

    Args:
        folder: an empty folder for its files.
        service: the port of the service.
        settings: directives for its only location.
        upstreams: how many servers it believes to have; all of them are the service.
    """

    def __init__(self, folder, service, settings="", *, upstreams=1):
        self._folder = folder
        self._settings = settings
        # max_fails=0: a server that failed is asked again at once.
        self._upstream = f"server 127.0.0.1:{service} max_fails=0; " * upstreams
        self._port = _free_port()
        self._process = None

    @property
    def base_url(self):
        """The address on which it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self):
        config = self._folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(folder=self._folder, port=self._port, upstream=self._upstream, settings=self._settings)
        )
        # `-e` replaces the log of the system, which nginx opens before it reads its configuration.
        command = [NGINX, "-p", str(self._folder), "-c", str(config), "-e", str(self._folder / "error.log")]
        self._process = await asyncio.create_subprocess_exec(*command)
        await self._wait_until_listening()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def stop(self):
        """End the process; every connection closes."""
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    async def _wait_until_listening(self):
        while self._process.returncode is None:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.close()
                return
            await asyncio.sleep(0.01)
        raise AssertionError((self._folder / "error.log").read_text())


def _free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]
