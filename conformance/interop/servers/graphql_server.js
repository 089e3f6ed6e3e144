// A GraphQL server over the subprotocol graphql-transport-ws: a query and a subscription.
'use strict';
const told = require('./told.js');
const graphql = require('graphql');
const { useServer } = require('graphql-ws/use/ws');
const { WebSocketServer } = require('ws');

const { GraphQLObjectType: Type, GraphQLInt: Int, GraphQLString, GraphQLSchema } = graphql;
const schema = new GraphQLSchema({
  query: new Type({
    name: 'Query',
    fields: { hello: { type: GraphQLString, resolve: () => 'world' } },
  }),
  subscription: new Type({
    name: 'Subscription',
    fields: {
      countdown: {
        type: Int,
        args: { from: { type: Int } },
        async* subscribe(_source, { from }) {
          for (let n = from; n >= 0; n--) yield { countdown: n };
        },
      },
    },
  }),
});

told.listen((server) => {
  useServer({ schema }, new WebSocketServer({ server, path: '/graphql' }));
});
