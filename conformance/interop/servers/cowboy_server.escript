#!/usr/bin/env escript
%% An echo server on cowboy, from the folder given: the plugins of RabbitMQ have it.
-module(cowboy_server).
-mode(compile).
-export([main/1, init/2, websocket_init/1, websocket_handle/2, websocket_info/2]).

main([Plugins]) ->
    [code:add_patha(Path) || Path <- filelib:wildcard(Plugins ++ "/*/ebin")],
    {ok, _} = application:ensure_all_started(ssl),
    {ok, _} = application:ensure_all_started(cowboy),
    Dispatch = cowboy_router:compile([{'_', [{"/[...]", ?MODULE, []}]}]),
    {ok, Address} = inet:parse_address(os:getenv("INTEROP_HOST")),
    Options = #{env => #{dispatch => Dispatch}},
    {ok, _} = cowboy:start_clear(plain, [{ip, Address}, {port, number("PORT")}], Options),
    {ok, _} = cowboy:start_tls(tls, [{ip, Address}, {port, number("TLS_PORT")},
                                     {certfile, os:getenv("INTEROP_CERTIFICATE")},
                                     {keyfile, os:getenv("INTEROP_KEY")}], Options),
    receive stop -> ok end.

number(Name) -> list_to_integer(os:getenv("INTEROP_" ++ Name)).

init(Request, State) ->
    Options = #{compress => true, max_frame_size => number("LIMIT"),
                idle_timeout => 2500 * number("PING")},
    Chosen = list_to_binary(os:getenv("INTEROP_SUBPROTOCOL")),
    case cowboy_req:parse_header(<<"sec-websocket-protocol">>, Request, []) of
        [] -> {cowboy_websocket, Request, State, Options};
        Offered ->
            Answered = case lists:member(Chosen, Offered) of
                true -> cowboy_req:set_resp_header(<<"sec-websocket-protocol">>, Chosen, Request);
                false -> Request
            end,
            {cowboy_websocket, Answered, State, Options}
    end.

websocket_init(State) ->
    erlang:send_after(1000 * number("PING"), self(), ping),
    {[], State}.

websocket_info(ping, State) ->
    erlang:send_after(1000 * number("PING"), self(), ping),
    {[ping], State}.

websocket_handle({text, <<"#interop ", Words/binary>>}, State) ->
    {obey(binary:split(Words, <<" ">>, [global])), State};
websocket_handle({pong, <<"there?">>}, State) -> {[{text, <<"pong">>}], State};
websocket_handle({text, Text}, State) -> {[{text, Text}], State};
websocket_handle({binary, Bytes}, State) -> {[{binary, Bytes}], State};
websocket_handle(_PingOrPong, State) -> {[], State}.

obey([<<"burst">>, Count]) ->
    [{text, integer_to_binary(N)} || N <- lists:seq(0, binary_to_integer(Count) - 1)];
obey([<<"ping">>]) -> [{ping, <<"there?">>}];
obey([<<"close">>, Code, Reason]) -> [{close, binary_to_integer(Code), Reason}];
obey([<<"pour">>, Size]) ->
    [{text, <<"pouring">>}, {binary, binary:copy(<<0>>, binary_to_integer(Size))}].
