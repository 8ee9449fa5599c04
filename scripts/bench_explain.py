#!/usr/bin/env python3
"""The measuring half of scripts/bench-explain, which says what it is for."""
import argparse, json, os, re, resource, shutil, statistics, subprocess, sys, tempfile, time

from bench_peers import fail

SMALL = 20 * 1024
TIMES = 3
SLOW_MS = 50
# Files that are timed together first: hardly any is slow.
GROUP = 25

# What the time goes into: a function with all that it calls.
PARTS = [
    ("reading the bytes into a skeleton", r"maildesk::mail::scan::scan$"),
    ("making a message of it: fields, charsets, HTML, reports", r"maildesk::mail::parse::parse$"),
    ("telling new words from quotations", r"maildesk::mail::quoting::split$"),
    ("deciding", r"maildesk::triage::decide::decide$"),
    ("writing JSON", r"to_string<maildesk::triage::explain::Explanation>"),
    ("printing", r"maildesk::cli::explain::files::Job::print$"),
]


def corpora(root):
    files = []
    for name in sorted(os.listdir(root)):
        for folder, _, names in os.walk(os.path.join(root, name, "data")):
            files += [os.path.join(folder, n) for n in names]
    return sorted(files)


class Bench:
    def __init__(self, a):
        self.a = a
        files = [f for f in corpora(a.corpora) if os.path.isfile(f)]
        if not files:
            fail("no files below %s/*/data" % a.corpora)
        self.small = [f for f in files if os.path.getsize(f) < SMALL]
        self.files = files

    def explain(self, files, wrap=()):
        """Wall and CPU seconds of one run; how many messages were answered."""
        hold = lambda: os.sched_setaffinity(0, {self.a.core})
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryFile() as out:
            begun = time.perf_counter()
            command = list(wrap) + [self.a.program, "explain", "--json"] + files
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, preexec_fn=hold)
            wall = time.perf_counter() - begun
            if done.returncode != 0:
                fail("explain ended with %d\n%s" % (done.returncode, done.stderr.decode(errors="replace")[-2000:]))
            out.seek(0)
            answered = sum(1 for _ in out)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, answered

    def slow(self):
        """Files that take over 50 ms beyond the start of the program, each the best of three."""
        start = min(self.explain(self.small[:1])[0] for _ in range(5))
        beyond = lambda files: (self.explain(files)[0] - start) * 1e3
        found = []
        for at in range(0, len(self.files), GROUP):
            group = self.files[at : at + GROUP]
            if beyond(group) > SLOW_MS:
                taken = [(min(beyond([f]) for _ in range(3)), f) for f in group]
                found += [(ms, f) for ms, f in taken if ms > SLOW_MS]
        return [(round(ms, 1), os.path.relpath(f, self.a.corpora)) for ms, f in sorted(found, reverse=True)]

    def dominates(self):
        """The share of each part in the samples of perf; nothing where there is no perf."""
        if not shutil.which("perf"):
            return {}
        with tempfile.TemporaryDirectory() as work:
            data = os.path.join(work, "perf.data")
            record = ["perf", "record", "-q", "-F", "1500", "--call-graph", "dwarf,16384", "-o", data, "--"]
            self.explain(self.small, record)
            report = ["perf", "report", "-i", data, "--children", "-g", "none", "--percent-limit", "0.1", "--stdio"]
            said = subprocess.run(report, capture_output=True, text=True, errors="replace").stdout
        shares = {}
        for line in said.splitlines():
            found = re.match(r"\s*([\d.]+)%\s+[\d.]+%\s+\S+\s+\S+\s+\[.\] (.*)", line)
            for name, pattern in PARTS if found else []:
                if re.search(pattern, re.sub(r" \(inlined\)$", "", found.group(2).strip())):
                    shares[name] = max(shares.get(name, 0), float(found.group(1)))
        return dict(sorted(shares.items(), key=lambda kv: -kv[1]))

    def run(self):
        files = self.small * TIMES
        print("%d files of under 20 KB, %d times over, on core %d" % (len(self.small), TIMES, self.a.core))
        self.explain(files)
        print("%-8s %9s %9s %14s %18s" % ("round", "wall s", "CPU s", "messages/s", "ms CPU a message"))
        rounds = []
        for n in range(1, self.a.rounds + 1):
            wall, cpu, answered = self.explain(files)
            if answered != len(files):
                fail("%d answers to %d files" % (answered, len(files)))
            rounds.append((wall, cpu))
            self.line(str(n), wall, cpu, len(files))
        wall, cpu = (statistics.median(r[k] for r in rounds) for k in (0, 1))
        self.line("median", wall, cpu, len(files))
        slow, shares = self.slow(), self.dominates()
        for ms, name in slow:
            print("over %d ms: %s, %.1f ms" % (SLOW_MS, name, ms))
        for name, share in shares.items():
            print("%5.1f%%  %s" % (share, name))
        print(json.dumps({
            "messages": len(files), "seconds": round(wall, 3), "messages_per_s": round(len(files) / wall),
            "cpu_seconds": round(cpu, 3), "messages_per_cpu_s": round(len(files) / cpu),
            "files": len(self.files), "over_50_ms": [name for _, name in slow], "dominates": shares,
        }), flush=True)

    def line(self, name, wall, cpu, n):
        print("%-8s %9.3f %9.3f %14.0f %18.3f" % (name, wall, cpu, n / wall, cpu * 1e3 / n), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--corpora", default=os.environ.get("MAILDESK_CORPORA") or "../shared/corpora")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    p.add_argument("--program", required=True)
    a = p.parse_args()
    a.corpora, a.program = os.path.abspath(a.corpora), os.path.abspath(a.program)
    if not os.path.isdir(a.corpora):
        fail("no corpora in %s: --corpora or MAILDESK_CORPORA names their folder" % a.corpora, 69)
    Bench(a).run()


if __name__ == "__main__":
    main()
