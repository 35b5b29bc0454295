"""Runs a command; prints what it took as JSON: seconds, cpu (seconds of the process and its children), rss (MB, of the largest), status."""
import json
import resource
import subprocess
import sys
import time

began = time.time()
status = subprocess.call(sys.argv[1:], stdout=sys.stderr)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "seconds": time.time() - began,
    "cpu": used.ru_utime + used.ru_stime,
    "rss": used.ru_maxrss / 1024,
    "status": status,
}))
