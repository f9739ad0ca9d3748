-module(word_count_app).
-behaviour(application).

-export([start/2, stop/1]).

start(_Type, _Arguments) ->
    word_count_sup:start_link().

stop(_State) ->
    ok.
