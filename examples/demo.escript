#!/usr/bin/env escript
%% -*- coding: utf-8 -*-
%% Erlang using Python. `make demo` runs this file by way of examples/run, which knows where the
%% compiled modules are.

-mode(compile).

main([]) ->
    io:setopts([{encoding, unicode}]),
    python_from_environment(),
    {ok, _} = application:ensure_all_started(erlang_python),
    {ok, Version} = py:version(),
    io:format("Erlang/OTP ~s with Python ~s in the same process~n",
              [erlang:system_info(otp_release), Version]),
    Folder = filename:join(filename:dirname(escript:script_name()), "python"),
    {ok, none} = py:call(sys, 'path.append', [unicode:characters_to_binary(Folder)]),
    calls(),
    kepler(),
    errors(),
    async().

calls() ->
    title("Calls"),
    show("py:call(math, sqrt, [16])",
         {ok, 4.0}),
    show("py:call(json, dumps, [#{tea => [6, none]}], #{indent => 0})",
         {ok, <<"{\n\"tea\": [\n6,\nnull\n]\n}">>}),
    show("py:eval(\"sorted(xs, key=abs)\", #{xs => [3, -1, 2]})",
         {ok, [-1, 2, 3]}),
    show("py:exec(\"def double(x): return x * 2\")",
         ok),
    show("py:call('__main__', double, [21])",
         {ok, 42}),
    show("py:stream(itertools, combinations, [[a, b, c], 2])",
         {ok, [{<<"a">>, <<"b">>}, {<<"a">>, <<"c">>}, {<<"b">>, <<"c">>}]}).

kepler() ->
    title("Kepler's third law, from data/planets.csv (Earth = 1)"),
    Path = filename:join([filename:dirname(escript:script_name()), "data", "planets.csv"]),
    {ok, Planets} = py:call(planets, read, [unicode:characters_to_binary(Path)]),
    {ok, Rows} = py:stream(planets, kepler, [Planets]),
    io:format("            distance d     year y    y²/d³~n"),
    [begin
         io:format("  ~-10s ~10.3f ~10.3f ~8.3f~n", [Name, Distance, Period, Ratio]),
         check(Name, abs(Ratio - 1) < 0.03)
     end || {Name, Distance, Period, Ratio} <- Rows],
    {ok, Exponent} = py:call(planets, exponent, [Planets]),
    io:format("~n  The year grows with the distance to the power of ~.3f. Kepler said 3/2.~n",
              [Exponent]),
    check("8 planets", length(Rows) =:= 8),
    check("the exponent", abs(Exponent - 1.5) < 0.01).

errors() ->
    title("Errors and a timeout"),
    show("py:eval(\"1 / 0\")",
         {error, {'ZeroDivisionError', "division by zero"}}),
    show("py:call(planets, parse, [[<<\"planet,mass\">>, <<\"Vulcan,unknown\">>]])",
         {error, {<<"planets.BadRow">>, "line 2, Vulcan: no mass"}}),
    show("py:call(perfect, odd, [], #{}, 300)",
         {error, timeout}),
    show("py:call(math, sqrt, [9])",
         {ok, 3.0}).

async() ->
    title("Calls that run while Erlang goes on"),
    Numbers = [10, 20, 30],
    Calls = [{N, py:call_async(math, factorial, [N])} || N <- Numbers],
    [begin
         {ok, Factorial} = py:await(Call),
         io:format("  ~b! = ~b~n", [N, Factorial]),
         check("a factorial", Factorial =:= lists:foldl(fun erlang:'*'/2, 1, lists:seq(1, N)))
     end || {N, Call} <- Calls].

%% PYTHON=/path/to/python picks the interpreter, as it does for make.
python_from_environment() ->
    case os:getenv("PYTHON", "") of
        "" -> ok;
        Python -> application:set_env(erlang_python, python_path, Python)
    end.

title(Text) ->
    io:format("~n~ts~n~n", [Text]).

%% Runs the code that it shows.
show(Code, Expected) ->
    {ok, Tokens, _} = erl_scan:string(Code ++ "."),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Expressions, []),
    io:format("  > ~ts~n  ~0tp~n", [Code, Value]),
    check(Code, Value =:= Expected).

check(_What, true) ->
    ok;
check(What, false) ->
    io:format(standard_error, "demo.escript: ~ts: not as expected~n", [What]),
    halt(1).
