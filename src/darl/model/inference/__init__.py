"""Running pairs through a network: each distinct token once, no padding in the matrix products.

prefix_tree  rows of token ids as a tree, so that what rows share is computed once
packs        pairs cut into such trees within a token budget
kept         keys and values of prompts and queries, from one batch to the next
attention    exact attention over a packed tree, for any network that uses transformers' attention interface
last_layer   one token of each pair is read: what the others need not go through
lean         norms and feed-forward parts with less traffic of memory
modules      a network's modules, walked quickly
laid_out     linear layers whose weights are laid out beforehand for small batches
packed       one pack through a network
padded       the plain way: padded batches, for networks that cannot be packed
support      whether a network can be packed: tried once, by comparing both ways
run          all pairs through whichever way the network allows
"""
