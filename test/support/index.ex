defmodule Python.Index do
  @moduledoc false

  # A package index on this machine, which ends with the test: pages and files by HTTP. It can ask for a password, have a
  # certificate of an authority of its own, and be a proxy for another one.

  @doc """
  Starts one. Returns `%{url:, port:, log:}`; `log` gives the requests so far, `{method, target, headers}`.

    * `:wheels` - paths of files;
    * `:auth` - `{user, password}`;
    * `:tls` - options of a server's socket;
    * `:proxy` - the index that requests for other hosts are answered by.
    * `:answer` - a function from a path to `{status, body}`, or nil.
  """
  def start(options) do
    {:ok, log} = Agent.start_link(fn -> [] end)
    tls = options[:tls]

    socket_options = [
      :binary,
      packet: :http_bin,
      active: false,
      reuseaddr: true,
      ip: {127, 0, 0, 1},
      backlog: 64
    ]

    {:ok, listener} =
      if tls, do: :ssl.listen(0, socket_options ++ tls), else: :gen_tcp.listen(0, socket_options)

    {:ok, {_, port}} = if tls, do: :ssl.sockname(listener), else: :inet.sockname(listener)

    state = %{
      log: log,
      wheels: options[:wheels] || [],
      auth: options[:auth],
      answer: options[:answer],
      tls: tls != nil
    }

    pid = spawn_link(fn -> accept(listener, state) end)
    if not state.tls, do: :ok = :gen_tcp.controlling_process(listener, pid)
    scheme = if tls, do: "https", else: "http"

    %{
      url: "#{scheme}://localhost:#{port}",
      port: port,
      log: fn -> Agent.get(log, &Enum.reverse/1) end
    }
  end

  defp accept(listener, state) do
    {:ok, socket} =
      if state.tls, do: :ssl.transport_accept(listener), else: :gen_tcp.accept(listener)

    pid =
      spawn(fn ->
        receive do: (:go -> :ok)
        serve(socket, state)
      end)

    if state.tls,
      do: :ssl.controlling_process(socket, pid),
      else: :gen_tcp.controlling_process(socket, pid)

    send(pid, :go)
    accept(listener, state)
  end

  defp serve(socket, %{tls: true} = state) do
    with {:ok, socket} <- :ssl.handshake(socket, 10_000), do: answer(socket, :ssl, state)
  end

  defp serve(socket, state), do: answer(socket, :gen_tcp, state)

  defp answer(socket, transport, state) do
    with {:ok, {:http_request, method, target, _}} <- transport.recv(socket, 0, 20_000) do
      headers = headers(socket, transport, %{})
      path = path(target)
      Agent.update(state.log, &[{to_string(method), target, headers} | &1])
      {status, type, body} = page(path, headers, state)

      transport.send(socket, [
        "HTTP/1.1 #{status} X\r\ncontent-type: #{type}\r\ncontent-length: #{byte_size(body)}\r\n",
        if(status == 401, do: "www-authenticate: Basic realm=\"x\"\r\n", else: ""),
        "connection: close\r\n\r\n",
        if(to_string(method) == "HEAD", do: "", else: body)
      ])
    end

    transport.close(socket)
  end

  defp headers(socket, transport, headers) do
    case transport.recv(socket, 0, 20_000) do
      {:ok, {:http_header, _, name, _, value}} ->
        headers(socket, transport, Map.put(headers, String.downcase(to_string(name)), value))

      _end ->
        headers
    end
  end

  defp path({:abs_path, path}), do: path
  # A proxy is asked for the whole URL.
  defp path({:absoluteURI, _scheme, _host, _port, path}), do: path
  defp path(_other), do: "/"

  defp page(path, headers, state) do
    expected =
      with {user, password} <- state.auth, do: "Basic " <> Base.encode64("#{user}:#{password}")

    cond do
      expected != nil and headers["authorization"] != expected ->
        {401, "text/plain", "who are you?"}

      state.answer && state.answer.(path) ->
        state.answer.(path) |> then(fn {status, body} -> {status, "text/html", body} end)

      true ->
        page(String.split(path, "/", trim: true), state)
    end
  end

  defp page(["links"], state), do: links(state.wheels)

  defp page(["simple", name], state) do
    wheels =
      for path <- state.wheels,
          String.starts_with?(Path.basename(path), String.replace(name, "-", "_") <> "-"),
          do: path

    if wheels == [], do: {404, "text/plain", "no such package"}, else: links(wheels)
  end

  defp page(["files", name], state) do
    case Enum.find(state.wheels, &(Path.basename(&1) == name)) do
      nil -> {404, "text/plain", "no such file"}
      path -> {200, "application/octet-stream", File.read!(path)}
    end
  end

  defp page(_other, _state), do: {404, "text/plain", "not found"}

  defp links(wheels) do
    links =
      for path <- wheels, name = Path.basename(path) do
        ~s(<a href="/files/#{name}#sha256=#{Python.Wheels.sha256(File.read!(path))}">#{name}</a><br>\n)
      end

    {200, "text/html", "<!DOCTYPE html><html><body>\n#{links}</body></html>\n"}
  end

  @doc "The options of a server with a certificate for localhost, and the file with that of its authority."
  def tls(folder) do
    # What OTP signs with a curve, others do not read, and such a key takes a second to be made.
    certificate = [digest: :sha256, key: :public_key.generate_key({:rsa, 2048, 65_537})]
    name = [extensions: [{:Extension, {2, 5, 29, 17}, false, [dNSName: ~c"localhost"]}]]
    chain = fn more -> %{root: certificate, intermediates: [], peer: certificate ++ more} end

    %{server_config: server, client_config: client} =
      :public_key.pkix_test_data(%{server_chain: chain.(name), client_chain: chain.([])})

    file = Path.join(folder, "authority.pem")

    pem =
      :public_key.pem_encode(for der <- client[:cacerts], do: {:Certificate, der, :not_encrypted})

    File.write!(file, pem)
    {Keyword.take(server, [:cert, :key]), file}
  end
end
