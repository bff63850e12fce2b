//! L3: the backup engine: chunks, packs, index, catalogue, keys, stores.
