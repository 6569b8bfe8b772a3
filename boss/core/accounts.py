"""What admins ask of tokens: make, revoke; and when they were used. Part of the reactor.

Rules:
- The digest comes with the event: the text of a token is made and shown by the API and never gets here.
- Access to the datastore that was given for a token ends with it (``ShutOut``); which those are is remembered for as long as it could hold.
- One name, one role: a second token of the name with another role is refused, so that nobody is two kinds of person at once.
"""

from boss.core.effects import ShutOut
from boss.core.jobs import answer
from boss.core.requests import TokenMade, TokensRevoked, TokensUsed
from boss.core.state import State
from boss.core.tokens import REVOKED_FACT, Token, still_revoked, with_revoked


def on_token_made(state: State, event: TokenMade, now: float) -> None:
    """Let a new token in."""
    wall = state.wall(now)
    known = [token for token in state.tokens.values() if token.name == event.name and not token.expired(wall)]
    other = next((token for token in known if token.role is not event.role), None)
    if other is not None:
        remedy = f"revoke_token {event.name} first, or choose another name"
        answer(state, event.reply, 409, error=f"{event.name} is {described(other)} already; {remedy}")
        return
    if event.id in state.tokens:
        answer(state, event.reply, 409, error=f"there is a token {event.id} already; ask again")
        return
    expires = None if event.lifetime is None else wall + event.lifetime
    token = Token(event.id, event.name, event.role, event.digest, wall, expires)
    state.tokens[token.id] = state.changes.tokens[token.id] = token
    answer(state, event.reply, 200, created=token.created, expires=token.expires)


def on_tokens_revoked(state: State, event: TokensRevoked, now: float) -> None:
    """Forget the token of this id, or all tokens of this name."""
    found = [token for token in state.tokens.values() if event.which in (token.id, token.name)]
    if not found:
        answer(state, event.reply, 404, error=f"there is no token with the name or id {event.which!r}")
        return
    for token in found:
        del state.tokens[token.id]
        state.changes.tokens[token.id] = None
    wall = state.wall(now)
    state.set_context(REVOKED_FACT, with_revoked(state.context.get(REVOKED_FACT), [token.id for token in found], wall))
    state.out.append(ShutOut(still_revoked(state.context[REVOKED_FACT], wall)))
    answer(state, event.reply, 200, revoked=[token.id for token in found])


def on_tokens_used(state: State, event: TokensUsed) -> None:
    """Remember when tokens were last shown at the door."""
    for name, used in event.times.items():
        token = state.tokens.get(name)
        if token is not None and used > (token.used or 0.0):
            token.used = used
            state.changes.tokens[name] = token


def described(token: Token) -> str:
    """``a viewer (token tok-1a2b3c4d)``."""
    return f"{'an' if token.role == 'admin' else 'a'} {token.role} (token {token.id})"
