//! L4: the seam to the world: the trait `Host`, its real and its simulated implementation.
