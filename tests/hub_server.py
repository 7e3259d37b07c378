"""A small Hugging Face Hub on loopback, for the genuine client.

It serves the HTTP that the client needs, and fails on request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"
CUT = 0
"""A failure instead of a status: the connection is closed while the request is being sent."""


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """A repository: for each branch its commits (hash, files), the newest last."""

    private: bool
    branches: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)

    def find(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = [commit for branch in self.branches.values() for commit in branch]
        by_hash = {commit[0]: commit for commit in commits}
        return self.branches[revision][-1] if revision in self.branches else by_hash.get(revision)


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: By USER/NAME.
        stored: Large files by their SHA-256.
        failures: The next failures, each used once: method, part of the path, status or `CUT`.
        requests: Method and path of every request so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.failures: list[tuple[str, str, int]] = []
        self.requests: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def next_failure(self, method: str, path: str) -> int | None:
        """Remove and return the failure planned for a request; None if there is none."""
        for failure in self.failures:
            if failure[0] == method and failure[1] in path:
                self.failures.remove(failure)
                return failure[2]
        return None

    def commit(self, name: str, branch: str, files: dict[str, bytes]) -> str:
        """Add a commit with these files to a branch, and return its hash."""
        commits = self.repositories[name].branches.setdefault(branch, [])
        oid = hashlib.sha1(json.dumps([name, branch, len(commits)]).encode()).hexdigest()
        commits.append((oid, files))
        return oid


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of the client."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, content: object = None, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str = "") -> None:
        self.answer({"error": code or f"status {status}"}, status, **({"X_Error_Code": code} if code else {}))

    def handle_one(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path))
        failure = self.server.next_failure(self.command, path)
        length = int(self.headers.get("Content-Length", 0))
        if failure == CUT:
            self.rfile.read(length // 2)
            self.close_connection = True
            self.connection.close()
            return
        body = self.rfile.read(length)
        authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if failure is None and self.command in ("POST", "PUT") and not authorized and not path.startswith("/store/"):
            failure = 401
        if failure is None:
            self.dispatch(path, body)
        else:
            self.fail(failure)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one  # noqa: N815

    def dispatch(self, path: str, body: bytes) -> None:
        match path.strip("/").split("/"):
            case ["api", "repos", "create"]:
                self.create(json.loads(body))
            case ["api", "validate-yaml"]:
                self.answer({"errors": [], "warnings": []})
            case ["store", sha256]:
                self.server.stored[sha256] = body
                self.answer(b"", ETag=f'"{sha256}"')
            case ["api", "models" | "datasets", user, name, *rest]:
                self.api(f"{user}/{name}", rest, body)
            case [*_, "info", "lfs", "objects", "batch"]:
                self.batch(json.loads(body))
            case ["datasets", user, name, "resolve", revision, *file] | [user, name, "resolve", revision, *file]:
                self.resolve(f"{user}/{name}", revision, "/".join(file))
            case _:
                self.fail(404)

    def create(self, request: dict) -> None:
        name = f"{request.get('organization') or 'user'}/{request['name']}"
        exists = name in self.server.repositories
        if not exists:
            private = request.get("private") is True or request.get("visibility") == "private"
            self.server.repositories[name] = Repository(private)
            self.server.commit(name, "main", {})
        self.answer({"url": f"{self.server.url}/{name}", "name": name, "id": name}, 409 if exists else 200)

    def api(self, name: str, rest: list[str], body: bytes) -> None:
        repository = self.server.repositories.get(name)
        found = repository and repository.find(rest[1] if len(rest) > 1 else "main")
        oid, files = found or ("", {})
        match rest:
            case _ if repository is None:
                self.fail(404, "RepoNotFound")
            case ["branch", branch] if found:
                self.fail(409)
            case ["branch", branch]:
                repository.branches[branch] = repository.branches["main"][-1:]
                self.answer({})
            case _ if found is None:
                self.fail(404, "RevisionNotFound")
            case [] | ["revision", _]:
                siblings = [{"rfilename": file, "size": len(content)} for file, content in files.items()]
                self.answer({"id": name, "sha": oid, "private": repository.private, "siblings": siblings, "tags": []})
            case ["tree", *_]:
                self.answer([self.entry(file, content) for file, content in files.items()])
            case ["preupload", _]:
                requested = json.loads(body)["files"]
                self.answer({"files": [self.preupload(file["path"], files) for file in requested]})
            case ["commit", branch]:
                self.take_commit(name, branch, dict(files), [json.loads(line) for line in body.splitlines()])
            case _:
                self.fail(404)

    @staticmethod
    def is_large(file: str) -> bool:
        return file.endswith((".safetensors", ".png"))

    def oid_of(self, file: str, content: bytes) -> str:
        return hashlib.sha256(content).hexdigest() if self.is_large(file) else git_hash(content)

    def entry(self, file: str, content: bytes) -> dict:
        large = {"lfs": {"oid": self.oid_of(file, content), "size": len(content), "pointerSize": 130}}
        entry = {"type": "file", "path": file, "size": len(content), "oid": git_hash(content)}
        return entry | (large if self.is_large(file) else {})

    def preupload(self, file: str, files: dict[str, bytes]) -> dict:
        mode = "lfs" if self.is_large(file) else "regular"
        oid = self.oid_of(file, files[file]) if file in files else None
        return {"path": file, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def batch(self, request: dict) -> None:
        objects = []
        for each in request["objects"]:
            upload = {"upload": {"href": f"{self.server.url}/store/{each['oid']}", "header": {}}}
            objects.append({**each, **({} if each["oid"] in self.server.stored else {"actions": upload})})
        self.answer({"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def take_commit(self, name: str, branch: str, files: dict[str, bytes], lines: list[dict]) -> None:
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.server.stored[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = self.server.commit(name, branch, files)
        self.answer({"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{name}/commit/{oid}"})

    def resolve(self, name: str, revision: str, file: str) -> None:
        repository = self.server.repositories.get(name)
        found = repository and repository.find(revision)
        if repository is None or (repository.private and not self.headers.get("Authorization")):
            self.fail(404, "RepoNotFound")
        elif found is None or file not in found[1]:
            self.fail(404, "EntryNotFound")
        else:
            content = found[1][file]
            self.answer(content, ETag=f'"{self.oid_of(file, content)}"', X_Repo_Commit=found[0])
