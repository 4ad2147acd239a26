"""`define` and `frozen` of attrs, whose classes share one `__repr__`.

attrs writes and compiles one for each class. Of some 400 classes that was a fifth of what a start imports, on a
machine that starts a node to sell something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import define, frozen
else:
    import attrs

    def _told(self: object) -> str:
        """As attrs writes it: the class, and the fields that may be shown."""
        kind = type(self)
        shown = (
            f"{one.name}={(one.repr if callable(one.repr) else repr)(getattr(self, one.name, attrs.NOTHING))}"
            for one in attrs.fields(kind)
            if one.repr
        )
        return f"{kind.__qualname__.rpartition('>.')[2]}({', '.join(shown)})"

    def _sharing(make: object) -> object:
        def decorate(given: type | None = None, **said: object) -> object:
            def made(kind: type) -> type:
                if "__repr__" not in vars(kind):
                    kind.__repr__ = _told
                return make(kind, repr=False, **said)

            return made if given is None else made(given)

        return decorate

    define, frozen = _sharing(attrs.define), _sharing(attrs.frozen)

__all__ = ["define", "frozen"]
