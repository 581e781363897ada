"""Tokens and passwords: how they are created, and what is stored of them."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta, timezone

from sqlalchemy import delete
from sqlalchemy.orm import Session

from ubiops.emulator.dates import now, timestamp
from ubiops.emulator.tables import AccessToken, User

_SIGNED_IN = timedelta(hours=24)


def new_token() -> str:
    """A token that can't be guessed."""
    return secrets.token_hex(20)


def digest(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def sign_in(session: Session, user: User) -> str:
    """A Bearer token for a person."""
    session.execute(delete(AccessToken).where(AccessToken.expiry_date <= now()))
    token = new_token()
    expiry = datetime.now(timezone.utc) + _SIGNED_IN
    session.add(AccessToken(token=digest(token), user_id=user.id, expiry_date=timestamp(expiry)))
    return token


def hash_password(password: str) -> str:
    """What is stored of a password."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_scrypt(password, salt)}"


def is_password(password: str, kept: str | None) -> bool:
    """Whether a password is the stored one."""
    salt, _, expected = (kept or ":").partition(":")
    return bool(expected) and secrets.compare_digest(_scrypt(password, bytes.fromhex(salt)), expected)


def _scrypt(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**13, r=8, p=1).hex()
