"""From what became of a job's tasks to figures for people: timeline, utilisation, cost, waste, slow tasks, the critical path.

Rules:
- PURE: rows in, plain values out; no clock, no file, nothing of the boss or the client. Both import it: ``admin.py report`` and web pages.
- Times are Unix seconds, durations seconds, CPU time is CPU seconds (cpus asked for x time, whether they were used or not).
- What is not known stays None and is counted as not known; nothing is guessed without saying so.
- Everything is linear in the number of attempts and dependencies, or bounded: a job of 100,000 tasks takes seconds.
"""
