# The beginning of a bench, for a script that sources it: its help, the programs it needs, a release build.
# PEERS: the servers that it measures with, Dovecot where it is not set.
case " $* " in
  *' -h '* | *' --help '*) sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
esac
for program in ${PEERS-dovecot} python3 ${NEEDS:-}; do
  if ! command -v "$program" >/dev/null && [ ! -x "/usr/sbin/$program" ]; then
    echo "$0: no $program here: apt-get install dovecot-imapd isync python3" >&2
    exit 69
  fi
done
case " $* " in
  *' --program '*) ;;
  *)
    cargo build --release >&2
    set -- --program "${CARGO_TARGET_DIR:-target}/release/maildesk" "$@"
    ;;
esac
