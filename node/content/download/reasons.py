"""Why sources serve no more, in words."""

NAMES_TOLD = 3
"""Names in one sentence, beyond which they are counted."""

_REASONS_TOLD = 5


def tell_reasons(reasons: dict[str, str]) -> str:
    """Why sources serve no more, by name, in a sentence that many of them make no longer."""
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        names.setdefault(why, []).append(name)
    groups = sorted(names.items(), key=lambda group: -len(group[1]))
    told = [
        f"{', '.join(who) if len(who) <= NAMES_TOLD else f'{len(who)} sources'}: {why}"
        for why, who in groups[:_REASONS_TOLD]
    ]
    return "; ".join([*told, "and others"] if len(groups) > _REASONS_TOLD else told)
