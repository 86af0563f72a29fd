"""Serving: a K-grade relevance model behind the rerank APIs that clients already speak.

    request ─► gate ─► dialect ─► core ─► batcher ─► worker process ─► core ─► dialect ─► reply

One **dialect** a file translates; one **core** scores; the model lives in a **worker** process of its own,
so that whatever happens to it, the server answers. The process that speaks HTTP never loads torch.
"""
