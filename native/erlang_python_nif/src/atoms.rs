//! The atoms that cross the boundary.

rustler::atoms! {
    // Answers
    ok,
    error,
    done,
    more,
    // Requests
    call,
    eval,
    exec,
    map,
    iter,
    iter_eval,
    next,
    close,
    describe,
    // Failures
    exception,
    encode,
    decode,
    bad_request,
    panic,
    overloaded,
    closed,
    worker_down,
    // Values
    true_ = "true",
    false_ = "false",
    nil,
    none,
    undefined,
    nan,
    infinity,
    neg_infinity,
    bytes,
    __struct__,
    // Cancellation
    queued,
    running,
    answered,
    location,
    // Messages to the pool and to its workers
    drain,
    idle,
    stop,
    worker_stuck,
    // Start of the interpreter
    started,
    failed,
    // Struct names and their fields
    object = "Elixir.Python.Object",
    bytes_struct = "Elixir.Python.Bytes",
    reference = "ref",
    data,
    // Statistics
    workers,
    busy,
    timed_out,
}
