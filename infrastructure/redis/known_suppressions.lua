-- What is known of suppressions while SQL is away. One string an address, `suppressed:<keyed hash>`: `at|reason`.
-- KEYS: one an address. ARGV: life in milliseconds, the time that all of it is of, then a reason each (empty: none).
-- A time only ever grows: whoever read before a change cannot put back what was.
for place, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  local at = held and tonumber(string.match(held, '^%d+')) or 0
  if tonumber(ARGV[2]) >= at then
    redis.call('SET', key, ARGV[2] .. '|' .. ARGV[place + 2], 'PX', ARGV[1])
  end
end
return #KEYS
