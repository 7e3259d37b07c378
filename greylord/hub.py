"""Models to the Hugging Face Hub and back, and corpora to it.

A model is published under the names of `PUBLISHED` only, weights as safetensors, JSON, picture and card, so that
neither a pickle nor a checkpoint leaves, and fetched by the same names, so that neither comes. A corpus is published
as Parquet. What fails half-way is simply repeated: a commit is all or nothing, and large files that have arrived are
not sent again.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import re
import shutil
import string
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import urlsplit

import huggingface_hub.constants
import torch
from huggingface_hub import HfApi, get_token, snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

import greylord
from greylord import modeling, runs, units
from greylord.corpus import arrow, segments
from greylord.corpus.build import build_corpus
from greylord.corpus.manifest import Manifest
from greylord.errors import GreylordError, UsageError
from greylord.escaping import markdown, visible
from greylord.files import json_text, new_folder, write_file
from greylord.progress import Progress, silent
from greylord.workspace import HERE

__all__ = ["PUBLISHED", "Pulled", "Pushed", "check", "corpus_files", "published_files", "pull", "push", "push_corpus"]

PUBLISHED = (*runs.USE_FILES, *runs.RECORD_FILES)
UNWANTED = ["*.bin", "*.pt", "*.pth", "*.pkl", "*.py"]
"""Removed from a repository when a model is published there."""
_NAME = re.compile(r"[^/\s]+/[^/\s]+")
_REFUSED = "The Hub refuses the token for {repo_id!r} ({status}); set HF_TOKEN to one that may write there."
_UNUSABLE = "{file!r} cannot be used ({why}); set HF_HOME to a folder in which the Hub's client may keep its files."


@dataclass(frozen=True)
class Pushed:
    """A published model or corpus."""

    url: str
    """Of the commit; of the last one if nothing had changed."""
    sizes: dict[str, int]
    """Its files and their bytes."""


@dataclass(frozen=True)
class Pulled:
    """A fetched model."""

    folder: Path
    revision: str
    """The commit's hash."""
    new: bool
    """It was not there before."""


def published_files(folder: Path) -> list[Path]:
    """The files of a model's folder that `push` would publish.

    Raises:
        UsageError: the folder holds no model.
        GreylordError: its weights are not finite, or it has read passwords or may have.
    """
    weights = modeling.load_model(folder).state_dict()
    if broken := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise GreylordError(f"{str(folder)!r} has weights that are no numbers ({broken[0]}); train it again.")
    credentials = runs.read_provenance(folder).credentials
    if credentials == "kept":
        raise GreylordError(
            f"{str(folder)!r} has read passwords in clear; build its corpus with `greylord data build NAME "
            "--mask-credentials` and train it anew."
        )
    if credentials != "masked":
        raise GreylordError(
            f"{str(folder)!r} does not tell whether it has read passwords in clear; train it anew from a corpus of "
            "this version, which masks them."
        )
    return [folder / name for name in PUBLISHED if (folder / name).is_file()]


def push(folder: Path, repo_id: str, private: bool = False, revision: str | None = None) -> Pushed:
    """Publish a model's folder as a repository's new commit, and make the repository if there is none.

    `revision` names a branch instead of main. Raises what `published_files` raises, UsageError for a name that can be
    no repository's, and GreylordError if there is no token or the Hub fails.
    """
    files = published_files(folder)
    check(repo_id)
    with tempfile.TemporaryDirectory() as place:
        for path in files:
            _publishable(path, Path(place, path.name), repo_id)
        url = _upload(Path(place), folder.name, repo_id, "model", private, revision, UNWANTED)
    return Pushed(url, {path.name: path.stat().st_size for path in files})


def check(repo_id: str) -> None:
    """Raise UsageError for a name that can be no repository's, and GreylordError if there is no token."""
    _check_name(repo_id)
    if _checked_token() is None:
        raise GreylordError(
            "There is no token for the Hub; make one that may write at https://huggingface.co/settings/tokens "
            "and set HF_TOKEN to it, or run `hf auth login`."
        )


def _checked_token() -> str | None:
    """The token, if there is one. Raises GreylordError for one that no request can carry; it is not shown."""
    try:
        token = get_token()
    except OSError as error:
        raise GreylordError(_UNUSABLE.format(file=error.filename, why=error.strerror)) from error
    except ValueError as error:
        raise GreylordError("The token for the Hub that is stored is damaged; run `hf auth login` again.") from error
    for place, character in enumerate(token or "", 1):
        if not "!" <= character <= "~":
            raise GreylordError(
                f"The token for the Hub has {character!r} as character {place}, which no token has; set HF_TOKEN to "
                "the bare token, without quotation marks and blanks."
            )
    return token


def _check_address() -> None:
    """Raise GreylordError where the Hub is looked for at what is not the address of a web server."""
    address = urlsplit(huggingface_hub.constants.ENDPOINT)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise GreylordError(
            f"HF_ENDPOINT is {huggingface_hub.constants.ENDPOINT!r}, which is not the address of a Hub; unset it, or "
            "write it like https://huggingface.co."
        )


def _upload(
    place: Path, name: str, repo_id: str, kind: str, private: bool, revision: str | None, unwanted: list[str]
) -> str:
    """Make a folder's files a repository's new commit, whose URL is returned."""
    with _in_one_sentence(repo_id):
        api = HfApi()
        api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, repo_type=kind, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type=kind,
            folder_path=place,
            revision=revision,
            commit_message=f"Publish {visible(name)}",
            delete_patterns=unwanted,
        )
    return commit.commit_url


def _publishable(path: Path, target: Path, repo_id: str) -> None:
    """Write a file as it is to be published: no paths of this machine, and a card that names the repository."""
    if path.name == runs.CONFIG_NAME:
        config = json.loads(json_text(path))
        for key in ("dataset_folder", "continued_from"):
            config[key] = PurePath(str(config[key])).name if config.get(key) else None
        write_file(target, json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    elif path.name == runs.CARD:
        card = path.read_text(encoding="utf-8").replace('from_pretrained(".")', f'from_pretrained("{repo_id}")')
        write_file(target, card)
    else:
        shutil.copyfile(path, target)


def corpus_files(dataset: Path, place: Path, repo_id: str, progress: Progress = silent) -> dict[str, int]:
    """Write the corpus of a dataset's folder, built if need be, as `greylord.corpus.segments` and a card to `place`.

    Returns the names and bytes of the files. Raises GreylordError if passwords stand in it or it cannot be built.
    """
    corpus = build_corpus(dataset, progress=progress)
    manifest = corpus.manifest
    if manifest.settings.keep_credentials:
        raise GreylordError(
            f"The corpus of {manifest.dataset!r} holds passwords in clear; build it with `greylord data build "
            f"{manifest.dataset} --mask-credentials` first."
        )
    files = segments.write(corpus.folder, place, progress)
    card = place / runs.CARD
    card.write_text(_dataset_card(manifest, repo_id), encoding="utf-8")
    return {path.relative_to(place).as_posix(): path.stat().st_size for path in (*files, card)}


def push_corpus(
    dataset: Path, repo_id: str, private: bool = False, revision: str | None = None, progress: Progress = silent
) -> Pushed:
    """Publish the corpus of a dataset's folder. Raises what `corpus_files` raises, and what `push` does for the Hub."""
    check(repo_id)
    with tempfile.TemporaryDirectory() as place:
        sizes = corpus_files(dataset, Path(place), repo_id, progress)
        url = _upload(Path(place), dataset.name, repo_id, "dataset", private, revision, ["data/*", *UNWANTED])
    return Pushed(url, sizes)


def _dataset_card(manifest: Manifest, repo_id: str) -> str:
    template = importlib.resources.files(greylord).joinpath("templates", "dataset_card.md").read_text(encoding="utf-8")
    table = "\n".join(
        f"| {split} | {counts.recordings:,} | {counts.payload_bytes:,} | {counts.turns:,} | {counts.tokens:,} |"
        for split, counts in manifest.splits.items()
    )
    return string.Template(template).substitute(
        name=markdown(manifest.dataset),
        repo_id=repo_id,
        data_hash=manifest.content_hash[:16],
        table=table,
        segment=f"{segments.SEGMENT_TOKENS:,}",
        version=greylord.__version__,
        **{split: segments.file_name(split) for split in arrow.SPLITS},
    )


def pull(repo_id: str, revision: str | None = None) -> Pulled:
    """Fetch a model into models/NAME_COMMIT, unless it is there; `revision` is a branch, tag or commit.

    Which repository and commit it is stands in `runs.ORIGIN`. Raises UsageError for a repository that does not exist,
    and GreylordError if it holds no model of greylord's or the Hub fails.
    """
    _check_name(repo_id)
    with _in_one_sentence(repo_id):
        info = HfApi().model_info(repo_id, revision=revision, files_metadata=True)
        folder = HERE.models / f"{repo_id.rpartition('/')[2]}_{info.sha[:8]}"
        if folder.exists():
            return Pulled(folder, info.sha, new=False)
        for file in info.siblings or ():
            if file.rfilename in PUBLISHED and file.rfilename != runs.WEIGHTS and (file.size or 0) > runs.LARGEST_JSON:
                raise GreylordError(f"{repo_id}: {file.rfilename} has {units.size(file.size)}, which no model needs.")
        snapshot = Path(snapshot_download(repo_id, revision=info.sha, allow_patterns=list(PUBLISHED)))
    try:
        modeling.load_model(snapshot)
    except UsageError as error:
        raise GreylordError(f"{repo_id} is no model of greylord's: {error}") from error
    with new_folder(folder) as made:
        for name in PUBLISHED:
            if (snapshot / name).is_file():
                shutil.copyfile(snapshot / name, made / name)
        origin = {"repo_id": repo_id, "revision": info.sha}
        (made / runs.ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    return Pulled(folder, info.sha, new=True)


def _check_name(repo_id: str) -> None:
    if not _NAME.fullmatch(repo_id):
        raise UsageError(f"{repo_id!r} can be no repository's name; write it as user/name.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"{repo_id!r} can be no repository's name: {str(error).splitlines()[0]}") from error


@contextlib.contextmanager
def _in_one_sentence(repo_id: str) -> Iterator[None]:
    """Tell what the Hub or the way to it did wrong, and what to do."""
    _checked_token()
    _check_address()
    try:
        yield
    except GreylordError:
        raise
    except OfflineModeIsEnabled as error:
        raise GreylordError("The Hub cannot be reached while HF_HUB_OFFLINE is set; unset it.") from error
    except RevisionNotFoundError as error:
        raise UsageError(f"The repository {repo_id!r} has no such revision; leave --revision out for main.") from error
    except RepositoryNotFoundError as error:
        if error.response.status_code != 401 or get_token() is None:
            raise UsageError(f"There is no repository {repo_id!r} that you may see on the Hub.") from error
        raise GreylordError(_REFUSED.format(repo_id=repo_id, status=401)) from error
    # The client, and the one below it, raise errors of many kinds.
    except Exception as error:
        if isinstance(error, OSError) and error.filename:
            raise GreylordError(_UNUSABLE.format(file=error.filename, why=error.strerror)) from error
        # What fails while weights are sent comes wrapped.
        response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
        status = getattr(response, "status_code", None)
        if status in (401, 403):
            raise GreylordError(_REFUSED.format(repo_id=repo_id, status=status)) from error
        broke = str(error.__cause__ or error) or type(error).__name__
        what = f"answered {status}" if status else f"broke off ({broke.splitlines()[0]})"
        raise GreylordError(f"The Hub {what}; nothing is lost or half done: repeat the command.") from error
