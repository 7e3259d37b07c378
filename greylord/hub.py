"""Publish models and corpora on the Hugging Face Hub, and pull models from it.

A model is pushed and pulled under the file names of `PUBLISHED` only: weights as safetensors, JSON, a picture and the
card. So pickles, code and checkpoints are never transferred. A corpus is published as Parquet. A push that fails can be
repeated: a commit is atomic, and large files that have arrived are not sent again.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
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

from greylord import cards, modeling, runs, units
from greylord.corpus import segments
from greylord.corpus.build import build_corpus
from greylord.errors import GreylordError, SettingError, UnmaskedCredentialsError, UsageError
from greylord.escaping import visible
from greylord.files import json_text, new_folder, write_file
from greylord.progress import Progress, silent
from greylord.workspace import HERE, Workspace

__all__ = [
    "PUBLISHED",
    "Pulled",
    "Pushed",
    "check_access",
    "corpus_files",
    "published_files",
    "pull",
    "push",
    "push_corpus",
]

PUBLISHED = (*runs.USE_FILES, *runs.RECORD_FILES)
"""Names of the files of a model on the Hub."""
UNWANTED = ["*.bin", "*.pt", "*.pth", "*.pkl", "*.py"]
"""Files that a push deletes from the repository."""
SHOWN_COMMIT = 8
"""Digits of the commit's hash in the name of a pulled model's folder."""

_REPO_ID = re.compile(r"[^/\s]+/[^/\s]+")
_TOKEN_REFUSED = "The Hub refuses the token for {repo_id!r} ({status}); set HF_TOKEN to one with write permission."
_UNUSABLE_FILE = "{file!r} cannot be used ({reason}); set HF_HOME to a folder for the files of the Hub's client."


@dataclass(frozen=True)
class Pushed:
    """A published model or corpus."""

    url: str
    """URL of the commit; of the previous one if no file has changed."""
    sizes: dict[str, int]
    """Bytes of each file."""


@dataclass(frozen=True)
class Pulled:
    """A pulled model."""

    folder: Path
    revision: str
    """The hash of the commit."""
    new: bool
    """False if the folder was there already."""


def published_files(folder: Path) -> list[Path]:
    """Check that a model may be published, and return the files to publish.

    Raises:
        UsageError: The folder does not hold a model.
        UnmaskedCredentialsError: The model was trained on passwords in clear.
        GreylordError: It is not known whether it was, or a weight is NaN or infinite.
    """
    weights = modeling.load_model(folder).state_dict()
    if broken := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise GreylordError(f"{str(folder)!r} has weights that are NaN or infinite ({broken[0]}); train it again.")
    provenance = runs.read_provenance(folder)
    if provenance.credentials == "kept":
        raise UnmaskedCredentialsError(
            f"{str(folder)!r} was trained on passwords in clear; train it again on a corpus with masked passwords.",
            provenance.dataset.name if provenance.dataset else None,
        )
    if provenance.credentials != "masked":
        raise GreylordError(
            f"{str(folder)!r} does not say whether it was trained on passwords in clear; train it again on a corpus "
            "built by this version, which masks passwords."
        )
    return [folder / name for name in PUBLISHED if (folder / name).is_file()]


def push(folder: Path, repo_id: str, private: bool = False, revision: str | None = None) -> Pushed:
    """Publish a model as a new commit of a repository. It is created if need be.

    Args:
        folder: The folder of the model.
        repo_id: USER/NAME.
        private: Make the repository private if it is created.
        revision: A branch, created if need be; None for main.

    Raises:
        UsageError: The folder does not hold a model, or `repo_id` is not valid.
        GreylordError: The model may not be published (see `published_files`), there is no token, or the Hub fails.
    """
    files = published_files(folder)
    check_access(repo_id)
    with tempfile.TemporaryDirectory() as temporary:
        for path in files:
            _copy_for_publication(path, Path(temporary, path.name), repo_id)
        url = _upload(Path(temporary), folder.name, repo_id, "model", private, revision, UNWANTED)
    return Pushed(url, {path.name: path.stat().st_size for path in files})


def check_access(repo_id: str) -> None:
    """Check what a push needs, without asking the Hub.

    Raises:
        UsageError: `repo_id` is not valid.
        GreylordError: There is no token, or none that can be sent.
    """
    _check_repo_id(repo_id)
    if _checked_token() is None:
        raise GreylordError(
            "There is no token for the Hub; make one with write permission at https://huggingface.co/settings/tokens "
            "and set HF_TOKEN to it, or log in with `hf auth login`."
        )


def _checked_token() -> str | None:
    """Return the token, if there is one.

    Raise GreylordError, without showing it, if no request can carry it.
    """
    try:
        token = get_token()
    except OSError as error:
        raise GreylordError(_UNUSABLE_FILE.format(file=error.filename, reason=error.strerror)) from error
    except ValueError as error:
        raise GreylordError("The stored token for the Hub is damaged; log in again with `hf auth login`.") from error
    for position, character in enumerate(token or "", 1):
        if not "!" <= character <= "~":
            raise GreylordError(
                f"The token for the Hub has {character!r} as character {position}, which no token has; set HF_TOKEN "
                "to the bare token, without quotation marks and spaces."
            )
    return token


def _check_address() -> None:
    """Raise GreylordError if HF_ENDPOINT is not the address of a web server."""
    address = urlsplit(huggingface_hub.constants.ENDPOINT)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise GreylordError(
            f"HF_ENDPOINT is {huggingface_hub.constants.ENDPOINT!r}, which is not the address of a Hub; unset it, or "
            "write it like https://huggingface.co."
        )


def _upload(
    folder: Path, name: str, repo_id: str, kind: str, private: bool, revision: str | None, unwanted: list[str]
) -> str:
    """Commit the files in a folder to a repository, and return the URL of the commit."""
    with _hub_errors(repo_id, revision):
        api = HfApi()
        api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, repo_type=kind, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type=kind,
            folder_path=folder,
            revision=revision,
            commit_message=f"Publish {visible(name)}",
            delete_patterns=unwanted,
        )
    return commit.commit_url


def _copy_for_publication(path: Path, target: Path, repo_id: str) -> None:
    """Copy a file without local paths; in the card, the example loads the repository."""
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


def corpus_files(
    dataset: Path, target: Path, repo_id: str, progress: Progress = silent, *, workspace: Workspace = HERE
) -> dict[str, int]:
    """Write the files that `push_corpus` would publish.

    These are the segments as Parquet, and the card.

    Args:
        dataset: A folder of recordings. Its corpus is built if need be.
        target: The folder to write to.
        repo_id: The repository that the card names.

    Returns:
        Bytes of each file, by its path below `target`.

    Raises:
        UnmaskedCredentialsError: The corpus holds passwords in clear.
        GreylordError: The corpus cannot be built.
    """
    corpus = build_corpus(dataset, workspace=workspace, progress=progress)
    manifest = corpus.manifest
    if manifest.settings.keep_credentials:
        raise UnmaskedCredentialsError(
            f"The corpus of {manifest.dataset!r} holds passwords in clear; only a corpus with masked passwords can be "
            "published.",
            manifest.dataset,
        )
    files = segments.write(corpus.folder, target, progress)
    card = target / runs.CARD
    card.write_text(str(cards.dataset_card(manifest, repo_id)), encoding="utf-8")
    return {path.relative_to(target).as_posix(): path.stat().st_size for path in (*files, card)}


def push_corpus(
    dataset: Path,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    progress: Progress = silent,
    *,
    workspace: Workspace = HERE,
) -> Pushed:
    """Publish the corpus of a dataset as a new commit of a repository.

    The repository is created if it does not exist.

    Args:
        dataset: A folder of recordings. Its corpus is built if need be.
        repo_id: USER/NAME.
        private: Make the repository private if it is created.
        revision: A branch, created if need be; None for main.

    Raises:
        UsageError: `repo_id` is not valid.
        GreylordError: The corpus may not be published or cannot be built, there is no token, or the Hub fails.
    """
    check_access(repo_id)
    with tempfile.TemporaryDirectory() as temporary:
        sizes = corpus_files(dataset, Path(temporary), repo_id, progress, workspace=workspace)
        url = _upload(Path(temporary), dataset.name, repo_id, "dataset", private, revision, ["data/*", *UNWANTED])
    return Pushed(url, sizes)


def pull(repo_id: str, revision: str | None = None, *, workspace: Workspace = HERE) -> Pulled:
    """Fetch a model into models/NAME_COMMIT, unless it is there already.

    The file `runs.ORIGIN` in it names the repository and the commit.

    Args:
        repo_id: USER/NAME.
        revision: A branch, tag or commit; None for main.

    Raises:
        UsageError: `repo_id` is not valid, or there is no such repository or revision.
        GreylordError: The repository does not hold a model of greylord, or the Hub fails.
    """
    _check_repo_id(repo_id)
    with _hub_errors(repo_id, revision):
        info = HfApi().model_info(repo_id, revision=revision, files_metadata=True)
        commit = str(info.sha)
        folder = workspace.models / f"{repo_id.rpartition('/')[2]}_{commit[:SHOWN_COMMIT]}"
        if folder.exists():
            return Pulled(folder, commit, new=False)
        for file in info.siblings or ():
            size = file.size or 0
            if file.rfilename in PUBLISHED and file.rfilename != runs.WEIGHTS and size > runs.LARGEST_JSON:
                raise GreylordError(f"{repo_id}: {file.rfilename} has {units.size(size)}, which no model needs.")
        snapshot = Path(snapshot_download(repo_id, revision=commit, allow_patterns=list(PUBLISHED)))
    try:
        modeling.load_model(snapshot)
    except UsageError as error:
        raise GreylordError(f"{repo_id} is not a model of greylord: {error}") from error
    with new_folder(folder) as temporary:
        for name in PUBLISHED:
            if (snapshot / name).is_file():
                shutil.copyfile(snapshot / name, temporary / name)
        origin = {"repo_id": repo_id, "revision": commit}
        (temporary / runs.ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    return Pulled(folder, commit, new=True)


def _check_repo_id(repo_id: str) -> None:
    if not _REPO_ID.fullmatch(repo_id):
        raise UsageError(f"{repo_id!r} cannot be the name of a repository; write it as user/name.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{repo_id!r} cannot be the name of a repository: {reason}") from error


@contextlib.contextmanager
def _hub_errors(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turn every error of the Hub's client into one sentence.

    The token and the address are checked beforehand.
    """
    _checked_token()
    _check_address()
    try:
        yield
    except GreylordError:
        raise
    except OfflineModeIsEnabled as error:
        raise GreylordError("The Hub cannot be reached while HF_HUB_OFFLINE is set; unset it.") from error
    except RevisionNotFoundError as error:
        raise SettingError(
            f"{repo_id!r} has no branch, tag or commit {revision!r}; leave revision out to use main.", "revision"
        ) from error
    except RepositoryNotFoundError as error:
        if error.response.status_code != 401 or get_token() is None:
            raise UsageError(f"There is no repository {repo_id!r} on the Hub, or you may not see it.") from error
        raise GreylordError(_TOKEN_REFUSED.format(repo_id=repo_id, status=401)) from error
    # The client, and the HTTP library below it, raise errors of many types.
    except Exception as error:
        if isinstance(error, OSError) and error.filename:
            raise GreylordError(_UNUSABLE_FILE.format(file=error.filename, reason=error.strerror)) from error
        # An error while weights are sent comes wrapped in another.
        response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
        status = getattr(response, "status_code", None)
        if status in (401, 403):
            raise GreylordError(_TOKEN_REFUSED.format(repo_id=repo_id, status=status)) from error
        cause = str(error.__cause__ or error) or type(error).__name__
        failure = f"answered {status}" if status else f"broke off ({cause.splitlines()[0]})"
        raise GreylordError(f"The Hub {failure}; nothing is lost or half done, so try again.") from error
