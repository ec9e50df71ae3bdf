/* The smallest job with a C library: static, returns 0. */
int main(void) { return 0; }
