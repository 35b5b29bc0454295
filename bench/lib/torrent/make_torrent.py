"""make_torrent.py FILE PIECE_LENGTH OUT: a v1 torrent of one file, by libtorrent."""
import os
import sys

import libtorrent as lt

path, piece, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
files = lt.file_storage()
lt.add_files(files, path)
torrent = lt.create_torrent(files, piece_size=piece, flags=lt.create_torrent.v1_only)
lt.set_piece_hashes(torrent, os.path.dirname(path))
with open(out, "wb") as handle:
    handle.write(lt.bencode(torrent.generate()))
