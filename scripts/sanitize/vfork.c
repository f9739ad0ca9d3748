/* Loaded before the VM. A child of vfork runs on its parent's stack, which Python's subprocess does on a
   stack that AddressSanitizer has not seen: it would take the one for the other. */
#include <unistd.h>

pid_t vfork(void) { return fork(); }
