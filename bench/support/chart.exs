defmodule Bench.Chart do
  @moduledoc false

  # An SVG of how much of each target is used up: a bar that ends left of the line meets it.

  alias Bench.Line

  @row 24
  @top 48
  @labels 620
  @bars 400
  @values 90

  # The logarithmic axis goes from a hundredth of the target to ten times of it.
  @from -2
  @to 1

  @met "#2e7d32"
  @missed "#c62828"

  def svg(lines) do
    lines = Enum.filter(lines, & &1.target)
    width = @labels + @bars + @values
    height = @top + @row * length(lines) + 16

    IO.iodata_to_binary([
      ~s(<svg xmlns="http://www.w3.org/2000/svg" width="#{width}" height="#{height}" ),
      ~s(viewBox="0 0 #{width} #{height}" font-family="sans-serif" font-size="13">\n),
      ~s(<rect width="100%" height="100%" fill="white"/>\n),
      Enum.map(@from..@to, &tick(&1, height)),
      lines |> Enum.with_index() |> Enum.map(fn {line, index} -> bar(line, index) end),
      "</svg>\n"
    ])
  end

  defp tick(power, height) do
    x = x(:math.pow(10, power))
    {color, label} = if power == 0, do: {"black", "target"}, else: {"#bbb", tick_label(power)}

    [
      ~s(<line x1="#{x}" y1="#{@top - 10}" x2="#{x}" y2="#{height - 10}" stroke="#{color}"/>\n),
      text(x, @top - 18, "middle", label)
    ]
  end

  defp tick_label(power) when power < 0, do: "1/#{Integer.pow(10, -power)}"
  defp tick_label(power), do: "#{Integer.pow(10, power)} ×"

  defp bar(line, index) do
    y = @top + @row * index
    used = Line.used(line)
    end_x = x(used)
    color = if Line.met?(line), do: @met, else: @missed

    [
      text(@labels - 8, y + 14, "end", line.work),
      ~s(<rect x="#{@labels}" y="#{y + 3}" width="#{Float.round(end_x - @labels, 1)}" ),
      ~s(height="#{@row - 8}" fill="#{color}"/>\n),
      text(@labels + @bars + 8, y + 14, "start", "#{Line.number(used / 1)} ×")
    ]
  end

  defp x(used) do
    power = :math.log10(max(used, 1.0e-9))
    share = (power - @from) / (@to - @from)
    Float.round(@labels + @bars * (share |> max(0.005) |> min(1.0)), 1)
  end

  defp text(x, y, anchor, content) do
    content = content |> String.replace("&", "&amp;") |> String.replace("<", "&lt;")
    ~s(<text x="#{x}" y="#{y}" text-anchor="#{anchor}">#{content}</text>\n)
  end
end
