"""The name that was probably meant: of a command, a mod."""

from collections.abc import Iterable

import click


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """`; did you mean NAME?` with the nearest of `names`, or nothing if none is near."""
    import difflib  # costs 5 ms, which a command that works out need not wait for

    by_case = {name.lower(): name for name in names}
    near = difflib.get_close_matches(text.lower(), by_case, n=1)
    return f"; did you mean {by_case[near[0]]}?" if near else ""


class GroupWithHints(click.Group):
    """A group of commands that answers a name it does not have with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with; raises UsageError."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            names = self.list_commands(ctx)
            raise click.UsageError(f"No such command {name!r}{did_you_mean(name, names)}", ctx)
        return super().resolve_command(ctx, args)
