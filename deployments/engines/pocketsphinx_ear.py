"""One PocketSphinx decoder: a tenant's phrasebook compiled into it, audio in, the best path through its graph out.

Settings, figures and traps of the library (5.1.1) are here; what a path means is decided in `pocketsphinx_phrases.py`.
A decoder takes 0.13 s to load and 28 MB. Its noise reduction is switched off: it is never reset, so a transcript would
depend on earlier callers; the recognition rate is the same without it (2026-11-21).
"""

from __future__ import annotations

import math
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from pocketsphinx import Decoder

from deployments.contracts.speech import Phrasebook
from deployments.engines import accents, phrase_graph
from deployments.engines.phrase_acceptance import Heard
from deployments.engines.phrase_graph import PhraseGraph

MOST_GRAMMARS = 8
"""Compiled phrasebooks a decoder keeps."""
_SCORE_UNIT = 1024
"""The library shifts acoustic scores right by ten bits."""
_BEAM = 1e-80
"""Wider than the way out is costly (`phrase_graph`): a narrower one would cut it off unheard."""
_MOST_HMMS = 800
"""Sound models in play at once; where there are more, the beam narrows. With 2,000 a third more time is spent,
and of 69 sentences in two accents 61 instead of 59 are found, none more of them sure (2026-11-21)."""
_CALIBRATION = "calibration"
_PHONES = "phones"
_P_PHONE = 1e-2
"""Of going on to another phone, when there are no phrases."""


class Calibrator:
    """Takes the average spectrum of a piece of audio, for all decoders.

    It has a decoder of its own, which never hears audio in pieces: the first piece would turn the library's batch mean
    into its running one for good (`feat_cmn` in feat.c), and every later average would carry the voices before.
    """

    def __init__(self) -> None:
        self._decoder = _decoder(cmn="batch")
        silence = self._decoder.create_fsg("silence", 0, 0, [(0, 0, 1.0, phrase_graph.SILENCE)])
        self._decoder.add_fsg("silence", silence)
        self._decoder.activate_search("silence")
        self._lock = threading.Lock()

    def average(self, pcm: bytes) -> str:
        """The mean cepstrum of `pcm`, in the decoder's own notation."""
        with self._lock:
            self._decoder.start_utt()
            self._decoder.process_raw(pcm, full_utt=True)
            self._decoder.end_utt()
            return str(self._decoder.get_cmn(False))


class Ear:
    """One decoder and the grammars compiled in it; one utterance at a time."""

    def __init__(self, calibrator: Calibrator) -> None:
        self._calibrator = calibrator
        with tempfile.TemporaryDirectory() as folder:
            fillers = Path(folder) / "fillers.dict"
            phones = "".join(f"{phrase_graph.phone_word(phone)} {phone}\n" for phone in phrase_graph.PHONES)
            fillers.write_text(f"<s> SIL\n</s> SIL\n{phrase_graph.SILENCE} SIL\n{phones}", encoding="ascii")
            # Fillers are in the graph where they are wanted; lw and wip 1: its likelihoods are meant as they stand.
            self._decoder = _decoder(
                cmn="live",
                beam=_BEAM,
                pbeam=_BEAM,
                wbeam=_BEAM,
                lw=1.0,
                wip=1.0,
                maxhmmpf=_MOST_HMMS,
                fdict=str(fillers),
                fsgusefiller=False,
            )
        silence = self._decoder.create_fsg(_CALIBRATION, 0, 0, [(0, 0, 1.0, phrase_graph.SILENCE)])
        self._decoder.add_fsg(_CALIBRATION, silence)
        loop = [
            (0, 0, _P_PHONE, word)
            for word in (phrase_graph.SILENCE, *map(phrase_graph.phone_word, phrase_graph.PHONES))
        ]
        self._decoder.add_fsg(_PHONES, self._decoder.create_fsg(_PHONES, 0, 1, [*loop, (0, 1, 1.0)]))
        self._graphs: OrderedDict[str, PhraseGraph] = OrderedDict()
        self._accented: set[str] = set()
        self._tuned = _CALIBRATION
        self._average = ""
        self._audio = bytearray()

    def knows(self, key: str) -> bool:
        """Whether the phrasebook is compiled already."""
        return key in self._graphs

    def tune(self, phrasebook: Phrasebook) -> PhraseGraph:
        """Search this phrasebook from now on."""
        key = phrasebook.key
        if key not in self._graphs:
            lexicon = {word.lower(): phones for word, phones in phrasebook.lexicon}
            graph = phrase_graph.build(phrasebook.phrases, lambda word: self._name(word, lexicon.get(word)))
            compiled = self._decoder.create_fsg(key, phrase_graph.START, phrase_graph.FINAL, graph.transitions)
            self._decoder.add_fsg(_grammar(key), compiled)
            self._graphs[key] = graph
            if len(self._graphs) > MOST_GRAMMARS:
                oldest, _ = self._graphs.popitem(last=False)
                self._decoder.activate_search(_CALIBRATION)  # the one to be removed may be active
                self._decoder.remove_search(_grammar(oldest))
        self._graphs.move_to_end(key)
        self._tuned = _grammar(key)
        return self._graphs[key]

    def warm(self, pcm: bytes) -> None:
        """Run everything once, so that the first caller does not wait for it."""
        self.start(pcm)
        self.hear(pcm)
        self.end()

    def start(self, opening: bytes) -> None:
        """Begin an utterance whose average spectrum is that of `opening`, which itself is not heard."""
        self._average = self._calibrator.average(opening)
        self._audio.clear()
        self._begin(self._tuned)

    def hear(self, pcm: bytes) -> None:
        """More of the utterance."""
        self._audio += pcm
        self._decoder.process_raw(pcm)

    def end(self) -> None:
        """No more of the utterance."""
        self._decoder.end_utt()

    def phones(self) -> list[Heard]:
        """After `end`: the phones and silences that fit the utterance best, whatever the phrases are.

        Takes 13 ms for a second of audio. `path` gives the same from then on.
        """
        self._begin(_PHONES)
        self._decoder.process_raw(bytes(self._audio))
        self._decoder.end_utt()
        return self.path()

    def path(self) -> list[Heard]:
        """The best path so far; after `end` the best that may end here."""
        path = []
        for segment in self._decoder.seg() or ():
            name = segment.word
            if name != "(NULL)":
                frames = segment.end_frame - segment.start_frame + 1
                score = math.log(max(segment.ascore, 1e-300)) * _SCORE_UNIT
                phones = len((self._decoder.lookup_word(name) or "?").split())
                word = name.partition("(")[0].partition("~")[0]
                path.append(Heard(word, segment.start_frame, frames, score, phones))
        return path

    def _begin(self, search: str) -> None:
        self._decoder.set_cmn(self._average)
        self._decoder.activate_search(search)
        self._decoder.start_utt()

    def _name(self, word: str, phones: str | None) -> str | None:
        """The dictionary's name of a word. A pronunciation is part of the name: no tenant changes another's."""
        if phones is None:
            return word if self._knows_accents_of(word) else None
        name = f"{word}~{'_'.join(phones.split())}"
        if self._decoder.lookup_word(name) is None:
            try:
                self._decoder.add_word(name, phones, False)
            except RuntimeError:
                return None
        return name

    def _knows_accents_of(self, word: str) -> bool:
        """Whether the dictionary has the word; its other accents are added to it once, as more ways to say it."""
        known = self._decoder.lookup_word(word)
        if known is None:
            return False
        if word not in self._accented:
            self._accented.add(word)
            ways = [known]
            while (other := self._decoder.lookup_word(f"{word}({len(ways) + 1})")) is not None:
                ways.append(other)
            for new in accents.variants(word, known):
                if new not in ways:
                    ways.append(new)
                    self._decoder.add_word(f"{word}({len(ways)})", new, False)
        return True


def _decoder(**config: Any) -> Decoder:
    decoder = Decoder(lm=None, loglevel="FATAL", bestpath=False, **config)
    # Only now: the model's own settings file overrules what the constructor is told.
    decoder.config["remove_noise"] = False
    decoder.reinit_feat()
    return decoder


def _grammar(key: str) -> str:
    return f"phrasebook {key}"
