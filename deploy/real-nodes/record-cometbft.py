#!/usr/bin/env python3
"""Records a real CometBFT network for the tests of the light client: schemas/vectors/cometbft/real-*.

usage: record-cometbft.py 0.38|1.0 FOLDER

Four validators on loopback run deploy/real-nodes/notices-app. In the recording, by height (case.json says where):
  - keys are put and deleted, a transaction fails with a code, a block holds several transactions;
  - a validator's power changes, another is stopped for some blocks, a third is removed;
  - keys and an absent key are asked with proofs, a proof for a height is judged by the header after it;
  - a second network with the same genesis and the same keys gives quorum-signed headers of its own: fork/.
Everything is the nodes' own answer, one file an answer, never edited. Needs python3 and what install-cometbft.sh needs.
"""
import json, pathlib, shutil, signal, subprocess, sys, tempfile, time, urllib.error, urllib.parse, urllib.request

HERE = pathlib.Path(__file__).resolve().parent
RPC, P2P, APP = 27700, 27600, 27800
DEADLINE = 120


def rpc(method, node=0, **params):
    query = urllib.parse.urlencode(params)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{RPC + node}/{method}?{query}", timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        raise SystemExit(f"{method} {params}: {refused.read().decode()}") from refused


def wait(what, ask):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            found = ask()
            if found:
                return found
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"waited {DEADLINE} s for: {what}")


def height():
    return int(rpc("status")["result"]["sync_info"]["latest_block_height"])


def reach(target):
    wait(f"height {target}", lambda: height() >= target)


class Network:
    def __init__(self, programs, home):
        self.programs, self.home, self.running = programs, home, {}
        ids = [self.ask("show-node-id", i) for i in range(4)]
        self.peers = ",".join(f"{it}@127.0.0.1:{P2P + i}" for i, it in enumerate(ids))

    def ask(self, command, i):
        return subprocess.check_output([self.programs / "cometbft", command, "--home", self.home / f"node{i}"], text=True).strip()

    def start(self, i):
        log = open(self.home / f"node{i}.log", "ab")
        app = subprocess.Popen([self.programs / "notices-app", f"tcp://127.0.0.1:{APP + i}"], stdout=log, stderr=log)
        node = subprocess.Popen(
            [self.programs / "cometbft", "start", "--home", self.home / f"node{i}", "--proxy_app", f"tcp://127.0.0.1:{APP + i}",
             "--p2p.laddr", f"tcp://127.0.0.1:{P2P + i}", "--rpc.laddr", f"tcp://127.0.0.1:{RPC + i}",
             "--p2p.persistent_peers", self.peers], stdout=log, stderr=log)
        self.running[i] = (app, node)

    def stop(self, i):
        for process in self.running.pop(i):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def close(self):
        for i in list(self.running):
            self.stop(i)


def settings(home, chain):
    for i in range(4):
        config = home / f"node{i}" / "config"
        text = (config / "config.toml").read_text()
        for name, value in [("timeout_commit", '"200ms"'), ("addr_book_strict", "false"), ("allow_duplicate_ip", "true")]:
            text = "\n".join(f"{name} = {value}" if line.startswith(f"{name} = ") else line for line in text.split("\n"))
        (config / "config.toml").write_text(text)
        genesis = json.loads((config / "genesis.json").read_text())
        genesis["chain_id"] = chain
        (config / "genesis.json").write_text(json.dumps(genesis, indent=2))


def send(tx):
    """Sends a transaction and waits for its block: (height, hash)."""
    result = rpc("broadcast_tx_commit", tx=json.dumps(tx))["result"]
    return int(result["height"]), result["hash"]


def keep(folder, name, answer):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(answer, indent=1, sort_keys=True) + "\n")


def keep_headers(folder, first, last):
    for at in range(first, last + 1):
        keep(folder, f"{at:03}.commit", rpc("commit", height=at))
        keep(folder, f"{at:03}.validators", rpc("validators", height=at, per_page=100))


def ask_key(folder, name, key):
    answer = rpc("abci_query", path='"/store/notices/key"', data=json.dumps(key), prove="true")
    keep(folder, name, answer)
    return int(answer["result"]["response"]["height"])


def public_key(network, i):
    return json.loads(network.ask("show-validator", i))["value"]


def main():
    line, out = sys.argv[1], pathlib.Path(sys.argv[2])
    programs = pathlib.Path(subprocess.check_output([HERE / "install-cometbft.sh", line], text=True).strip())
    work = pathlib.Path(tempfile.mkdtemp(prefix="record-cometbft."))
    try:
        subprocess.check_call([programs / "cometbft", "testnet", "--v", "4", "--o", work / "a", "--populate-persistent-peers=false",
                               "--starting-ip-address", "127.0.0.1"], stdout=subprocess.DEVNULL)
        settings(work / "a", f"hufu-real-{line}")
        shutil.copytree(work / "a", work / "b")
        shutil.rmtree(out, ignore_errors=True)
        case = record(Network(programs, work / "a"), out)
        case["fork"] = record_fork(Network(programs, work / "b"), out / "fork")
        case["version"] = subprocess.check_output([programs / "cometbft", "version"], text=True).strip()
        shutil.copy(work / "a" / "node0" / "config" / "genesis.json", out / "genesis.json")
        keep(out, "case", case)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def record(network, out):
    try:
        for i in range(4):
            network.start(i)
        wait("the first node's answer", height)
        reach(3)
        keys, txs = {}, {}
        for name, tx in [("put", 'put notice/2026-001={"subject":"91350100M000100Y43","state":"in-force"}'), ("fail", "fail 7"),
                         ("other", 'put notice/2026-002={"subject":"91350100M000100Y43","state":"in-force"}')]:
            at, digest = send(tx)
            txs[name] = {"height": at, "hash": digest, "tx": tx}
        for name, key in [("present", "notice/2026-001"), ("absent", "notice/2026-0015"), ("absent-before-all", "a"), ("absent-after-all", "z")]:
            keys[name] = {"key": key, "height": ask_key(out, f"key.{name}", key)}
        power, _ = send(f"val=ed25519!{public_key(network, 2)}!3")
        reach(power + 3)
        network.stop(3)
        stopped = height()
        reach(stopped + 4)
        network.start(3)
        reach(stopped + 8)
        removed, _ = send(f"val=ed25519!{public_key(network, 1)}!0")
        reach(removed + 3)
        at, digest = send("delete notice/2026-002")
        txs["delete"] = {"height": at, "hash": digest, "tx": "delete notice/2026-002"}
        reach(at + 2)
        keys["deleted"] = {"key": "notice/2026-002", "height": ask_key(out, "key.deleted", "notice/2026-002")}
        last = height() + 1
        reach(last + 1)
        keep_headers(out, 1, last)
        for name, tx in txs.items():
            keep(out, f"tx.{name}", rpc("tx", hash="0x" + tx["hash"], prove="true"))
            for at in (tx["height"], tx["height"] + 1):
                keep(out, f"{at:03}.block", rpc("block", height=at))
                keep(out, f"{at:03}.block_results", rpc("block_results", height=at))
        keep(out, "status", rpc("status"))
        return {"last": last, "keys": keys, "transactions": txs, "power_changed_at": power, "stopped_at": stopped, "removed_at": removed}
    finally:
        network.close()


def record_fork(network, out):
    try:
        for i in range(4):
            network.start(i)
        wait("the first node's answer", height)
        reach(5)
        keep_headers(out, 1, 4)
        return {"last": 4}
    finally:
        network.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main()
