"""A batch on a Ray cluster, with the extra `ray`: the single-process path imports nothing of it."""
