"""What comes out of containers is a stranger's: files are taken, and nothing else, and nothing is written elsewhere."""

import io
import tarfile
from pathlib import Path

import pytest

from orchestrator.runtimes.docker.sdk_files import unpack


def archive(*members: tuple[str, bytes, bytes]) -> io.BytesIO:
    """A tar file of members: name, kind, content or target."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, content in members:
            told = tarfile.TarInfo(name)
            told.type, told.mode = kind, 0o7777
            if kind == tarfile.REGTYPE:
                told.size = len(content)
            else:
                told.linkname = content.decode()
            tar.addfile(told, io.BytesIO(content))
    file.seek(0)
    return file


def test_only_files_come_and_only_here(tmp_path: Path) -> None:
    """Links, devices and ways out of the folder are left out; files are readable and not executable."""
    into = tmp_path / "into"
    unpack(
        archive(
            ("alpha", tarfile.DIRTYPE, b""),
            ("alpha/wal.log", tarfile.REGTYPE, b"records"),
            ("alpha/deep/er/x", tarfile.REGTYPE, b"x"),
            ("alpha/../../escaped", tarfile.REGTYPE, b"evil"),
            ("../escaped", tarfile.REGTYPE, b"evil"),
            ("/escaped", tarfile.REGTYPE, b"renamed"),
            ("alpha/link", tarfile.SYMTYPE, b"/etc/passwd"),
            ("alpha/hard", tarfile.LNKTYPE, b"/etc/passwd"),
            ("alpha/device", tarfile.CHRTYPE, b""),
        ),
        into,
    )
    found = {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert {"into/wal.log": b"records", "into/deep/er/x": b"x", "into/escaped": b"renamed"} == found
    assert 0o644 == (into / "wal.log").stat().st_mode & 0o7777


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    """Something else in an archive's place is an error, and writes nothing."""
    with pytest.raises(tarfile.TarError):
        unpack(io.BytesIO(b"no archive" * 100), tmp_path / "into")
    assert [] == list(tmp_path.iterdir())
