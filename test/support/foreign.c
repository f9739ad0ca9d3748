/* A library that calls back, and counts what it has begun, what it has ended, and the answers
   that make no sense. */

#include <unistd.h>

static int begun_calls, ended_calls, wrong_answers;

int work(int steps, int pause_us, int (*step)(int))
{
    __atomic_add_fetch(&begun_calls, 1, __ATOMIC_SEQ_CST);
    for (int number = 0; number < steps; number++) {
        if (pause_us > 0)
            usleep(pause_us);
        if (step(number) != number + 1)
            __atomic_add_fetch(&wrong_answers, 1, __ATOMIC_SEQ_CST);
    }
    __atomic_add_fetch(&ended_calls, 1, __ATOMIC_SEQ_CST);
    return steps;
}

int begun(void) { return __atomic_load_n(&begun_calls, __ATOMIC_SEQ_CST); }
int ended(void) { return __atomic_load_n(&ended_calls, __ATOMIC_SEQ_CST); }
int wrong(void) { return __atomic_load_n(&wrong_answers, __ATOMIC_SEQ_CST); }
