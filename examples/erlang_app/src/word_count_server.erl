%% Counts words in a Python object. The object lives in Python; the state of the server is a handle to it.
-module(word_count_server).
-behaviour(gen_server).

-export([start_link/0, add/1, most_common/1]).
-export([init/1, handle_call/3, handle_cast/2]).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% Counts the words of a text, a binary.
add(Text) ->
    gen_server:call(?MODULE, {add, Text}).

%% The most frequent words, such as [{<<"tea">>, 3}].
most_common(Count) ->
    gen_server:call(?MODULE, {most_common, Count}).

init([]) ->
    Folder = unicode:characters_to_binary(code:priv_dir(word_count)),
    case py:call(sys, 'path.append', [Folder]) of
        {ok, none} ->
            {ok, Words} = py:call(word_count, 'Words', []),
            {ok, Words};
        %% There is no Python, say; the reason tells what to do about it.
        {error, Reason} ->
            {stop, Reason}
    end.

handle_call({add, Text}, _From, Words) ->
    {ok, none} = py:call_method(Words, add, [Text]),
    {reply, ok, Words};
handle_call({most_common, Count}, _From, Words) ->
    {reply, py:call_method(Words, most_common, [Count]), Words}.

handle_cast(_Message, Words) ->
    {noreply, Words}.
