"""libtorrent as bench/torrent-shaped.ts measures it: `libtorrent_shaped.py MAGNET DIRECTORY HOST:PORT...` prints {"first", "seek"} in ms and "share".

Only what a player would want has a priority: 32 MB from where it reads, in order, and 8 MB of head and tail.
"""
import json
import os
import sys
import time

import libtorrent as lt

WINDOW = 32 * 1024 * 1024
EDGE = 8 * 1024 * 1024
magnet, folder, *peers = sys.argv[1:]
session = lt.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": 0,
})
began = time.monotonic()
parameters = lt.parse_magnet_uri(magnet)
parameters.save_path = folder
parameters.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
parameters.flags |= lt.torrent_flags.default_dont_download
handle = session.add_torrent(parameters)
for peer in peers:
    host, port = peer.rsplit(":", 1)
    handle.connect_peer((host, int(port)))


def until(condition):
    while not condition():
        time.sleep(0.002)


until(lambda: handle.status().has_metadata)
info = handle.torrent_file()
length, count = info.piece_length(), info.num_pieces()


def ask(start):
    wanted = [0] * count
    for piece in range(count):
        edge = piece * length < EDGE or (piece + 1) * length > info.total_size() - EDGE
        ahead = start <= piece < start + WINDOW // length
        wanted[piece] = 7 if ahead else 1 if edge else 0
    handle.prioritize_pieces(wanted)
    handle.clear_piece_deadlines()
    for piece in range(start, min(count, start + WINDOW // length)):
        handle.set_piece_deadline(piece, (piece - start) * 100)


ask(0)
until(lambda: handle.have_piece(0))
first = time.monotonic() - began
until(lambda: handle.status().num_pieces >= 6)
middle = info.total_size() // length // 2
asked = time.monotonic()
ask(middle)
until(lambda: handle.have_piece(middle))
seek = time.monotonic() - asked
status = handle.status()
had = [piece for piece in range(count) if status.pieces[piece]]
wanted = [piece for piece in had if piece * length < WINDOW or piece >= middle]
print(json.dumps({"first": first * 1000, "seek": seek * 1000, "share": len(wanted) * length / status.total_payload_download}))
sys.stdout.flush()
os._exit(0)
