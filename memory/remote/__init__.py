"""The reply cache and the memory of another machine, the head: what serves them there, and what stands for them."""
