// An empty job.
int main(void) { return 0; }
