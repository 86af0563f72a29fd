"""A slow scoring of a pool in shards, to be killed: python shard_worker.py CACHE"""

from __future__ import annotations

import sys
import time

from dasa_worlds import ShardModel, pool_of

from darl.dasa.shards import score_in_shards


class Slow(ShardModel):
    def score(self, pairs, *, ood=True):
        time.sleep(0.02)
        print(len(pairs), flush=True)
        return super().score(pairs, ood=ood)


if __name__ == "__main__":
    score_in_shards(Slow(), pool_of(400, 50), sys.argv[1], model_key="m", shard=20, chunk=10)
