"""Sending a file, batch by batch: answered, rejects written, progress saved, in this order."""

from __future__ import annotations

import time
from typing import BinaryIO

from msgspec import Struct, structs

from app.commands.sending.lines import Batch, Line, read_batches, read_lines
from app.commands.sending.meter import Meter
from app.commands.sending.post import Poster, Problem
from app.commands.sending.progress import Progress, ProgressFile
from app.commands.sending.tally import Refusal, Tally, refusal
from app.domain.codec import encode
from app.domain.rate import Rate
from app.domain.steady import Steady

BATCH_BYTES = 1_000_000
_TYPE_PREFIX = "urn:notify:problem:"
#: How often a limited rate posts, seconds.
_RATE_STEP_S = 0.2


class Job(Struct, kw_only=True):
    """What is sent, and what is kept of it. `progress_file` is None for a stream, `rejects` where none are wanted."""

    file: BinaryIO
    poster: Poster
    meter: Meter
    batch: int
    rate: Rate | None
    progress_file: ProgressFile | None
    rejects: BinaryIO | None


def send_file(job: Job, progress: Progress) -> Tally:
    """Send what is behind `progress`; the sums."""
    tally = progress.tally.resumed()
    if job.progress_file is not None:
        job.file.seek(progress.offset)
    if job.rejects is not None:
        job.rejects.truncate(progress.rejects_bytes)
        job.rejects.seek(progress.rejects_bytes)
    steady = Steady(job.rate)
    lines = read_lines(job.file, progress.name, offset=progress.offset, number=progress.line)
    job.meter.tell(progress.offset, tally)
    for batch in read_batches(lines, count=steady.portion(job.batch, _RATE_STEP_S), size=BATCH_BYTES):
        time.sleep(steady.delay_s(len(batch.lines), time.monotonic()))
        written = _send(job, batch, tally)
        last = batch.lines[-1]
        progress = structs.replace(
            progress, offset=last.end, line=last.number, rejects_bytes=progress.rejects_bytes + written, tally=tally
        )
        if job.progress_file is not None:
            job.progress_file.save(progress)
        job.meter.tell(last.end, tally)
    return tally


def _send(job: Job, batch: Batch, tally: Tally) -> int:
    """Post the batch and count it; how many bytes of rejects were written."""
    refused = [refusal(line) for line in batch.lines if not line.body]
    postable = batch.postable
    if postable:
        posted = job.poster.post(postable)
        tally.accepted += posted.accepted
        tally.there += posted.there
        refused += [_refused(line, problem) for line, problem in posted.refused]
    refused.sort(key=lambda one: one.line)
    tally.add(refused)
    if job.rejects is None or not refused:
        return 0
    text = b"".join(encode(one) + b"\n" for one in refused)
    job.rejects.write(text)
    job.rejects.flush()
    return len(text)


def _refused(line: Line, problem: Problem) -> Refusal:
    """The service's refusal: the kind of problem, and each fault by its place."""
    faults = [f"{fault.get('pointer', '')} {fault.get('detail', '')}".strip() for fault in problem.errors]
    detail = "; ".join(faults) or problem.detail or problem.title
    return refusal(line, problem.type.removeprefix(_TYPE_PREFIX), detail)
