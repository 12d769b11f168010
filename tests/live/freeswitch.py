"""A FreeSWITCH of our own for one test run: its configuration, start and stop.

The configuration is the least that the tests need, written into a directory of pytest's. Everything
listens on 127.0.0.1, on ports that were free when it was written.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from esl_controller.freeswitch import dialplan
from tests.live import g722
from tests.machine import run_as_packaged

PASSWORD: Final = "live-tests"
DOMAIN_UUID: Final = "6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01"
SECRETARY_UUID: Final = "c8e3b7d4-21f9-4f6e-b1a7-5e2d9c4f8a02"
READY_S: Final = 30.0
STOP_S: Final = 20.0
PORTS: Final = range(10_000, 13_000)
RTP_PORTS: Final = 1000
JITTER_BUFFER_MS: Final = 60
"""Of our callers, as a telephone has one. Without it a leg reads one RTP packet a tick of its own:
where packets come near that tick, or two at once, it now and then hears silence and loses a frame,
though every packet was sent (seen on the wire). All that a caller hears is so much later."""

MODULES: Final = (
    *("mod_logfile", "mod_event_socket", "mod_commands", "mod_dptools", "mod_dialplan_xml"),
    *("mod_loopback", "mod_sndfile", "mod_native_file", "mod_tone_stream", "mod_sofia"),
)
OPTIONAL_MODULES: Final = ("mod_opus", "mod_spandsp")
CODECS: Final = "PCMU,PCMA,L16@16000h@20i,opus@48000h@20i,G722"


class FreeSwitchFailed(Exception):
    """It did not start or answer; the text says where its log is."""


@dataclass(frozen=True)
class Build:
    """One build of mod_audio_stream: the directory that holds it, and a name for the report."""

    name: str
    directory: Path


@dataclass
class FreeSwitch:
    """A running FreeSWITCH. ``with FreeSwitch(prefix, build, directory) as switch``.

    ``controller_port`` is where its dialplan's extension 8000 looks for a controller.
    """

    prefix: Path
    build: Build
    directory: Path
    controller_port: int = field(default_factory=lambda: free_port())
    event_port: int = field(default_factory=lambda: free_port())
    sip_port: int = field(default_factory=lambda: free_port())
    caller_port: int = field(default_factory=lambda: free_port())
    rtp_start: int = field(default_factory=lambda: random.randrange(16384, 31000, 2))
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FreeSwitch:
        for part in ("conf", "log", "db", "run"):
            (self.directory / part).mkdir(parents=True)
        self._write_configuration()
        self.start()
        return self

    def start(self) -> None:
        """Start it, again after ``kill``; ready when this returns."""
        options = [f"-{part}={self.directory / part}" for part in ("conf", "log", "db", "run")]
        split = [word for option in options for word in option.split("=")]
        with (self.directory / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [str(self.prefix / "bin" / "freeswitch"), "-np", "-nonat", "-nf", "-nc", *split],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=run_as_packaged,
            )
        try:
            self._wait_ready()
        except BaseException:
            self._stop()
            raise

    def kill(self) -> None:
        """SIGKILL: no word to anybody."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """In this block it hangs: its sockets stay open, and nothing comes of them."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """FreeSWITCH's log file."""
        return self.directory / "log" / "freeswitch.log"

    @property
    def has_opus(self) -> bool:
        """Whether this FreeSWITCH was built with Opus."""
        return _has_module(self.prefix, "mod_opus")

    @property
    def has_g722(self) -> bool:
        """Whether it was built with G.722, which its mod_spandsp has."""
        return _has_module(self.prefix, "mod_spandsp") and g722.library(self.prefix) is not None

    def api(self, command: str) -> str:
        """Run an API command; its answer without the last line break. Blocks for some ms."""
        with socket.create_connection(("127.0.0.1", self.event_port), timeout=10) as connection:
            stream = connection.makefile("rwb")
            stream.write(f"auth {PASSWORD}\n\napi {command}\n\n".encode())
            stream.flush()
            while True:
                headers, body = _message(stream)
                if headers["Content-Type"] == "api/response":
                    return body.strip()

    def channels(self) -> int:
        """How many channels live."""
        return int(self.api("show channels count").split()[0])

    def load_stream_module(self) -> None:
        """Load mod_audio_stream again after ``unload mod_audio_stream``."""
        self.api(f"load {self.build.directory / 'mod_audio_stream.so'}")

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if (
                    self.api("module_exists mod_audio_stream") == "true"
                    and self.api("sofia status").count("RUNNING") == 2
                ):
                    return
            except (OSError, EOFError):
                pass
            time.sleep(0.1)
        raise FreeSwitchFailed(
            f"FreeSWITCH is not ready: see {self.directory / 'out'} and {self.log}"
        )

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write_configuration(self) -> None:
        conf = self.directory / "conf"
        (conf / "dialplan").mkdir()
        (conf / "freeswitch.xml").write_text(_DOCUMENT.format(configuration=self._configuration()))
        (conf / "dialplan" / "1_tests.xml").write_text(_EXTENSIONS)
        (conf / "dialplan" / "2_voice_ai.xml").write_text(
            dialplan.render(
                domain_uuid=DOMAIN_UUID,
                secretary_uuid=SECRETARY_UUID,
                socket=f"127.0.0.1:{self.controller_port}",
            )
        )

    def _configuration(self) -> str:
        modules = [*MODULES, *(m for m in OPTIONAL_MODULES if _has_module(self.prefix, m))]
        lines = [f'<load module="{name}"/>' for name in modules]
        lines.append(f'<load module="mod_audio_stream" path="{self.build.directory}"/>')
        profiles = [
            f'<profile name="{name}"><settings>{_params(settings)}</settings></profile>'
            for name, settings in (
                ("internal", _sip(self.sip_port)),
                ("caller", _sip(self.caller_port) | {"auto-jitterbuffer-msec": JITTER_BUFFER_MS}),
            )
        ]
        event_socket = {
            "listen-ip": "127.0.0.1",
            "listen-port": self.event_port,
            "password": PASSWORD,
            "apply-inbound-acl": "loopback.auto",
        }
        # High: at its usual rate Opus keeps the sound of speech but not the shape of its wave.
        opus = {"use-vbr": 1, "complexity": 10, "maxaveragebitrate": 128000}
        core = {
            "loglevel": "debug",
            "max-sessions": 500,
            "sessions-per-second": 200,
            "rtp-start-port": self.rtp_start,
            "rtp-end-port": self.rtp_start + RTP_PORTS,
        }
        log = '<map name="all" value="debug,info,notice,warning,err,crit,alert"/>'
        return "\n".join(
            [
                _section("switch", f"<settings>{_params(core)}</settings>"),
                _section("modules", f"<modules>{''.join(lines)}</modules>"),
                _section("event_socket", f"<settings>{_params(event_socket)}</settings>"),
                _section("opus", f"<settings>{_params(opus)}</settings>"),
                _section("sofia", f"<profiles>{''.join(profiles)}</profiles>"),
                _section(
                    "logfile",
                    f'<profiles><profile name="default"><mappings>{log}</mappings>'
                    "</profile></profiles>",
                ),
            ]
        )


def _shuffled() -> Iterator[int]:
    """Ports, none again before all others: who was given one may not listen on it yet, or not at
    this moment. Each of pytest's workers has some for itself."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = list(PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))])
    random.shuffle(own)
    return itertools.cycle(own)


_ports = _shuffled()


def free_port() -> int:
    """A port that neither TCP nor UDP had in use a moment ago.

    None of those that the system gives to whoever connects: it may be needed much later.
    """
    while True:
        port = next(_ports)
        with (
            contextlib.suppress(OSError),
            socket.socket() as tcp,
            socket.socket(type=socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port


def default_build(prefix: Path) -> Build:
    """The build that lies in FreeSWITCH's own directory of modules."""
    return Build("installed", _modules(prefix))


def builds(prefix: Path) -> list[Build]:
    """What MOD_AUDIO_STREAM_DIRS names, or the default build."""
    named = os.environ.get("MOD_AUDIO_STREAM_DIRS", "")
    directories = [Path(part) for part in named.split(":") if part]
    return [Build(path.name, path) for path in directories] or [default_build(prefix)]


def _modules(prefix: Path) -> Path:
    """Packages put the modules into lib/freeswitch/mod, a plain `make install` into mod."""
    usual = prefix / "lib" / "freeswitch" / "mod"
    return usual if usual.is_dir() else prefix / "mod"


def _has_module(prefix: Path, name: str) -> bool:
    return (_modules(prefix) / f"{name}.so").exists()


def _message(stream: Any) -> tuple[dict[str, str], str]:
    headers: dict[str, str] = {}
    while line := stream.readline():
        if line == b"\n":
            body = stream.read(int(headers.get("Content-Length", 0)))
            return headers, body.decode()
        name, _, value = line.decode().partition(": ")
        headers[name] = value.strip()
    raise EOFError("FreeSWITCH closed the connection")


def _section(name: str, inside: str) -> str:
    return f'<configuration name="{name}.conf">{inside}</configuration>'


def _params(values: Mapping[str, object]) -> str:
    return "".join(f'<param name="{name}" value="{value}"/>' for name, value in values.items())


def _sip(port: int) -> dict[str, object]:
    return {
        "context": "default",
        "dialplan": "XML",
        "sip-ip": "127.0.0.1",
        "rtp-ip": "127.0.0.1",
        "sip-port": port,
        "auth-calls": "false",
        "manage-presence": "false",
        "inbound-codec-prefs": CODECS,
        "outbound-codec-prefs": CODECS,
        # The caller's choice counts: each test asks for the codec that it means.
        "inbound-codec-negotiation": "generous",
        "rtp-timer-name": "soft",
        "tls": "false",
    }


# FreeSWITCH's pre-processor reads line by line: an X-PRE-PROCESS stands on one of its own.
_DOCUMENT: Final = """\
<document type="freeswitch/xml">
  <section name="configuration">
{configuration}
  </section>
  <section name="dialplan">
    <context name="default">
      <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
    </context>
  </section>
</document>
"""

_EXTENSIONS: Final = """\
<include>
  <extension name="park">
    <condition field="destination_number" expression="^9999$">
      <action application="answer"/>
      <action application="park"/>
    </condition>
  </extension>
  <extension name="somebody">
    <condition field="destination_number" expression="^7001$">
      <action application="answer"/>
      <action application="playback" data="tone_stream://%(400,200,700);loops=-1"/>
    </condition>
  </extension>
</include>
"""
