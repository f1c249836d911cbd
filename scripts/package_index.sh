# Let uv use the index that pip is configured for, which it does not read itself.
# Sourced from the repository's root when .venv has pip.
pip_setting() { # the value of one pip setting, from its files or the environment
    .venv/bin/python -m pip config list 2>/dev/null |
        sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | tail -n 1
}
index=$(pip_setting index-url)
extra=$(pip_setting extra-index-url)
links=$(pip_setting find-links)
certificates=$(pip_setting cert)
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
[ -z "$extra" ] || export UV_INDEX="$extra"
[ -z "$links" ] || [ ! -e "$links" ] || export UV_FIND_LINKS="$links"
[ -z "$certificates" ] || export SSL_CERT_FILE="$certificates"
export UV_PYTHON_DOWNLOADS=never
