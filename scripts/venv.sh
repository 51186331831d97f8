# Sourced by every script: leaves $python pointing at the interpreter of an up-to-date .venv, which
# has modswarm and the extras of setup.cfg that the script names in $extras, separated by commas.
# Makes .venv on first use, refreshes it when setup.cfg or pyproject.toml changed, and adds extras.
# Never changes the folder, so that a script's relative paths mean what its caller meant.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${MODSWARM_VENV:-$root/.venv}
python=$venv/bin/python

find_python() {
    local candidate
    for candidate in ${MODSWARM_PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "modswarm needs Python 3.11 or newer, and none was found. Install it, or name one in MODSWARM_PYTHON." >&2
    return 1
}

# Whether .venv was made here from these very files. The first line of its file `installed-from` is
# their sum; the others are the extras that it has.
is_current() {
    [ "$(head -n 1 "$venv/installed-from" 2>/dev/null)" = "$1" ] && "$python" -c '' 2>/dev/null
}

lacking() {
    local extra
    for extra in ${extras//,/ }; do
        grep -qxF -- "$extra" "$venv/installed-from" || echo "$extra"
    done
}

prepare() {
    local wanted base clear had=
    # The root too: an installation in place does not survive that the checkout moves.
    wanted=$({ echo "$root"; cat "$root/setup.cfg" "$root/pyproject.toml"; } | cksum)
    if is_current "$wanted"; then
        [ -z "$(lacking)" ] && return
        had=$(tail -n +2 "$venv/installed-from")
        echo "Adding to $venv what this script needs ..." >&2
    else
        base=$(find_python) || return 1
        echo "Setting up $venv (once, and again when setup.cfg changes) ..." >&2
        # A .venv whose Python was upgraded away, or whose making was interrupted, is made anew.
        [ -e "$venv/pyvenv.cfg" ] && clear=--clear
        "$python" -m pip --version > /dev/null 2>&1 || "$base" -m venv ${clear-} "$venv" || {
            echo "Python's venv module failed. On Debian and Ubuntu: apt install python3-venv" >&2
            return 1
        }
    fi
    "$python" -m pip install --quiet --disable-pip-version-check \
        --editable "$root${extras:+[$extras]}" >&2 || return 1
    printf '%s\n' "$wanted" $had ${extras//,/ } > "$venv/installed-from"
}

# Two scripts started at once must not install over each other.
if command -v flock > /dev/null; then
    exec 9> "${venv%/}.lock"
    flock 9
    prepare || exit 1
    exec 9>&-
else
    prepare || exit 1
fi
