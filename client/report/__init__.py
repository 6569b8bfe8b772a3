"""Reports of jobs: one HTML file that needs nothing else, and a research object crate.

Rules:
- Made here and not in the boss ([why](docs/decisions/0028-reports-are-made-by-the-client.md)): the boss answers pages of rows, ``figures``
  makes numbers of them, this draws.
- What others have said (names, commands, reasons) is text and nothing else: escaped, and without letters that turn a text around.
"""
