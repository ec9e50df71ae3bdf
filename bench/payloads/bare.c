/* The smallest job there is: static, without a C library; exits with 0. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n  mov $231, %eax\n  xor %edi, %edi\n  syscall\n"); /* exit_group */
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n  mov x8, #94\n  mov x0, #0\n  svc #0\n");
#else
#error "write the two instructions of exit_group(0) for this architecture"
#endif
