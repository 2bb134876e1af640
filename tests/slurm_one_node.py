"""Run a study on SLURM, on one node of this machine, with an interruption, a kill and a failing job.

    python tests/slurm_one_node.py

This script is not part of `make test`: it needs root to install Debian's packages (slurmctld, slurmd, munge).
If it may not, it prints the reason and exits with status 0. It stops everything that it starts. Its
configuration and logs are in a temporary folder, which is kept if a check fails.
"""

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from test_runs import small_study, started

from chromoformer.provenance import verify

DAEMONS = ("slurmctld", "slurmd", "munged")
OPTIONS = (
    "--slurm-no-account --slurm-status-command squeue "
    "--slurm-init-seconds-before-status-checks 3 --seconds-between-status-checks 2"
)
PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]


def skip(why: str) -> None:
    "End the script successfully, and print why."
    print(f"skipped: {why}")
    sys.exit(0)


def install() -> None:
    "Install SLURM from Debian's packages if it is missing and may be installed."
    if all(shutil.which(name) for name in DAEMONS):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        skip("SLURM is not installed, and installing it needs root and apt-get")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        if subprocess.run(["apt-get", *arguments], capture_output=True).returncode:
            skip(f"apt-get {' '.join(arguments)} failed: no network, or the packages do not exist")


def configuration(folder: Path) -> None:
    "Write slurm.conf for one node."
    node = platform.node().split(".")[0]
    cores = os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 500
    (folder / "slurm.conf").write_text(f"""
ClusterName=one
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={node} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE State=UP
""")
    (folder / "cgroup.conf").write_text("CgroupPlugin=autodetect\nIgnoreSystemd=yes\n")
    for name in ("state", "spool"):
        (folder / name).mkdir()


@contextlib.contextmanager
def cluster(folder: Path):
    "Run munged, slurmctld and slurmd inside a block."
    configuration(folder)
    links = [Path("/etc/slurm") / name for name in ("slurm.conf", "cgroup.conf")]
    if any(os.path.lexists(link) for link in links):
        skip(f"a SLURM is configured here already: {links[0].parent}")
    links[0].parent.mkdir(exist_ok=True)
    for link in links:  # at the default path: Snakemake's executor hides SLURM_CONF from its jobs
        link.symlink_to(folder / link.name)
    started_here = []
    if subprocess.run(["munge", "-n"], capture_output=True).returncode:  # no munged is running
        started_here.append(start_munged())
    try:
        for name in ("slurmctld", "slurmd"):
            with open(folder / f"{name}.out", "w") as log:
                started_here.append(subprocess.Popen([name, "-D"], stdout=log, stderr=log))
        wait_for_node(folder)
        yield
    finally:
        for link in links:
            link.unlink(missing_ok=True)
        for process in reversed(started_here):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def start_munged() -> subprocess.Popen:
    "Start the authentication service."
    run_folder = Path("/run/munge")
    run_folder.mkdir(exist_ok=True)
    shutil.chown(run_folder, "munge", "munge")
    run_folder.chmod(0o755)
    service = ["runuser", "-u", "munge", "--", "munged", "--foreground"]
    process = subprocess.Popen(service, stderr=subprocess.DEVNULL)
    time.sleep(1)
    return process


def wait_for_node(folder: Path) -> None:
    "Wait until the node is idle, for half a minute."
    for _ in range(60):
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout.strip()
        if state == "idle":
            return
        time.sleep(0.5)
    logs = "".join((folder / f"{name}.out").read_text()[-2000:] for name in ("slurmctld", "slurmd"))
    skip(f"SLURM does not start on this machine (the state of its node: {state or 'unknown'}):\n{logs}")


def command(study: Path) -> list[str]:
    "Return the command that runs a study on the cluster."
    python = [sys.executable, "-c", "from chromoformer.cli import main; main()"]
    folders = ["--notebooks", str(study.parent), "--out", str(study.parent / "small")]
    return [
        *python,
        "run",
        str(study),
        "--executor",
        "slurm",
        "--cores",
        "2",
        *folders,
        "--snakemake",
        OPTIONS,
    ]


def run(study: Path) -> subprocess.CompletedProcess:
    "Run the command, and print its output."
    result = subprocess.run(command(study), capture_output=True, text=True)
    print(result.stdout, result.stderr, sep="\n")
    return result


def begun(study: Path, out: Path) -> subprocess.Popen:
    "Start the command in its own process group, as a shell does, and wait until one of its jobs has begun."
    since = time.time()
    process = subprocess.Popen(
        command(study), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None:
        if any(file.stat().st_mtime > since for file in out.glob("step/*/job.json")):
            break
        time.sleep(0.2)
    return process


def main() -> None:
    install()
    folder = Path(tempfile.mkdtemp(prefix="slurm_one_node_"))
    with cluster(folder):
        study, out = small_study(folder), folder / "small"

        print("---- Ctrl-C while jobs are on the cluster: they are cancelled")
        process = begun(study, out)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130, process.returncode
        queue = subprocess.run(["squeue", "-h", "-t", "pending,running"], capture_output=True, text=True)
        assert queue.stdout == ""
        assert not list(out.glob("step/*/provenance.json"))

        print("---- a kill while jobs are on the cluster")
        process = begun(study, out)
        process.send_signal(signal.SIGKILL)
        process.wait()

        print("---- the same command; one job fails")
        result = run(study)
        assert result.returncode == 1, result.returncode
        assert "RuntimeError: the gate is shut" in result.stdout
        assert "not run because of it: 1 (sum)" in result.stdout
        metrics = json.loads((out / "step" / "fold1" / "metrics.json").read_text())
        assert metrics["auc"]["value"] == 0.25 and not (out / "sum").exists()

        print("---- the failure is fixed; the same command")
        (out / "gate").touch()
        result = run(study)
        assert result.returncode == 0, result.returncode
        assert started(out) == {"step/fold2", "sum"}, started(out)
        assert json.loads((out / "sum" / "metrics.json").read_text()) == {"sum": 0.75}
        assert all(verify(out / key) == [] for key in ("step/fold1", "step/fold2", "sum"))

        log = (out / ".study" / "snakemake.log").read_text()
        assert "SLURM jobid" in log, "the jobs did not go through SLURM"

        print("---- the same command again")
        assert "Nothing to do" in run(study).stdout
    shutil.rmtree(folder, ignore_errors=True)
    print("SLURM: interrupted, killed, failed, resumed, checked.")


if __name__ == "__main__":
    main()
