"""Tile arithmetic on NumPy arrays, bit-exact; knows nothing of the language.

Arrays are [L, *tile shape]: a leading lane axis for blocks that run together. An array with L == 1
combines with one of L == n. `optable.OP_TABLE` lists every operator; `strict` holds the slow twins
that tests compare with. May import NumPy, Numba and ml_dtypes, and no other package of ours.
"""
