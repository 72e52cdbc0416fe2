"""Verbs that only play, one behind the other: each is fetched while the one before it is heard, and joins
that to the sample."""

from __future__ import annotations

from collections.abc import Sequence

from callrouter.calls.live import ScopedCall
from callrouter.calls.playlist import Playlist
from callrouter.errors import CallError
from callrouter.ports import Verb
from callrouter.verbs.pause import Pause
from callrouter.verbs.play import Play
from callrouter.verbs.say import Say

PlayingVerb = Say | Play | Pause


def row_of(verbs: Sequence[Verb], index: int) -> list[PlayingVerb]:
    """The verbs from `index` on that do nothing else."""
    row: list[PlayingVerb] = []
    for verb in verbs[index:]:
        if not isinstance(verb, PlayingVerb):
            break
        row.append(verb)
    return row


async def play_next(call: ScopedCall, playlist: Playlist, verb: PlayingVerb) -> None:
    """Play what `verb` says behind what is heard now, and wait until it is its turn.  What it fails with is
    raised then, and not before."""
    if isinstance(verb, Pause) and not call.is_answered:
        await verb.run(call)
        return
    try:
        prompt = await verb.prepare(call)
    except CallError:
        await playlist.end()
        raise
    if not prompt.items:
        return
    await call.answer()
    playlist.begin(prompt.items, prompt.loops)
    await playlist.turn()
