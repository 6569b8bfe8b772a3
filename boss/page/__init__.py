"""The web page: what people look at, served by the boss beside its API.

It only looks: what its buttons do are calls of the API, made by the session's cookie and word. Its floor is that of ``boss.api``, on top
of it: it reads through the same reader and the loop's view, by the same functions where there are any.
"""
